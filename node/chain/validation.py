"""Whether body and outcome are those that a header commits to. Pure: values in, an error out.

What the header itself must be: `consensus.headers` and the engine's `SealRules`. Every error carries the
numbers that contradict each other.
"""

from collections.abc import Iterable

from node.chain.errors import InvalidBody, WrongOutcome
from node.execution.executor import BlockOutcome
from node.primitives.block import Body, Header
from node.primitives.ids import Hash32, hex_of
from node.primitives.receipt import Receipt, encode_receipts
from node.primitives.transaction import Transaction
from node.trie.ordered_root import ordered_root


def verify_body(header: Header, body: Body) -> None:
    """Check that the body is the one the header commits to; InvalidBody otherwise."""
    if body.ommers:
        raise InvalidBody(f"{len(body.ommers)} ommers; blocks have none here")
    root = transactions_root(body.transactions)
    if root != header.transactions_root:
        raise InvalidBody(
            f"transactions root {hex_of(root)} where the header has {hex_of(header.transactions_root)}"
        )


def verify_outcome(header: Header, outcome: BlockOutcome, state_root: Hash32) -> None:
    """Compare what execution gave with what the header claims; WrongOutcome lists all that differs."""
    claims = (
        ("gas used", str(outcome.gas_used), str(header.gas_used)),
        ("receipts root", hex_of(receipts_root(outcome.receipts)), hex_of(header.receipts_root)),
        ("state root", hex_of(state_root), hex_of(header.state_root)),
    )
    wrong = [f"{what} {got} where the header has {has}" for what, got, has in claims if got != has]
    if outcome.bloom != header.logs_bloom:
        wrong.append("another logs bloom than the header has")
    if wrong:
        raise WrongOutcome("execution gives " + "; ".join(wrong))


def transactions_root(transactions: Iterable[Transaction]) -> Hash32:
    """What a header commits its transactions with."""
    return ordered_root([tx.encoded for tx in transactions])


def receipts_root(receipts: Iterable[Receipt]) -> Hash32:
    """What a header commits its receipts with."""
    return ordered_root(encode_receipts(receipts))
