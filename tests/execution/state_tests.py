"""Official GeneralStateTests through the executor port.

A file holds tests; a test holds a state, a block's environment and, for each fork, transactions with the root
and the logs they must lead to. Transactions marked `expectException` must be refused and change nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.execution.executor import BlockContext, Executor, InvalidTransaction
from node.primitives import rlp
from node.primitives.chain_spec import Fork
from node.primitives.crypto import keccak256
from node.primitives.ids import Address
from node.primitives.transaction import MalformedTransaction, decode_transaction
from tests.execution.worlds import MemoryView
from tests.vectors import load_json

FORKS = {
    "Frontier": Fork.FRONTIER,
    "Homestead": Fork.HOMESTEAD,
    "EIP150": Fork.TANGERINE_WHISTLE,
    "EIP158": Fork.SPURIOUS_DRAGON,
    "Byzantium": Fork.BYZANTIUM,
    "Constantinople": Fork.CONSTANTINOPLE,
    "ConstantinopleFix": Fork.PETERSBURG,
    "Istanbul": Fork.ISTANBUL,
    "Berlin": Fork.BERLIN,
    "London": Fork.LONDON,
    "Shanghai": Fork.SHANGHAI,
    "Cancun": Fork.CANCUN,
}
"""The names that ethereum/tests gives to forks. Paris is left out: its blocks have no difficulty."""


@dataclass(frozen=True, slots=True)
class StateCase:
    """One transaction on one state."""

    name: str
    context: BlockContext
    view: MemoryView
    transaction: bytes
    root: str
    logs_hash: str
    refused: bool


def cases_of(file: Path, fork_name: str) -> Iterator[StateCase]:
    """The cases of a file under one fork."""
    for name, test in load_json(file).items():
        entries = test["post"].get(fork_name, ())
        if not entries:
            continue
        view = _view(test["pre"])
        context = _context(test["env"], FORKS[fork_name])
        for entry in entries:
            indexes = entry["indexes"]
            yield StateCase(
                f"{name}[{fork_name} d{indexes['data']} g{indexes['gas']} v{indexes['value']}]",
                context,
                view,
                bytes.fromhex(entry["txbytes"][2:]),
                entry["hash"],
                entry["logs"],
                "expectException" in entry,
            )


def failure_of(case: StateCase, executor: Executor) -> str | None:
    """What is wrong with the executor's answer to a case; None when nothing is."""
    session = executor.begin(case.context, case.view)
    logs_hash = keccak256(rlp.encode([]))
    try:
        receipt = session.apply(decode_transaction(case.transaction))
    except (InvalidTransaction, MalformedTransaction, rlp.RlpError) as error:
        if not case.refused:
            return f"{case.name}: refused: {error}"
    else:
        if case.refused:
            return f"{case.name}: not refused"
        logs_hash = keccak256(rlp.encode([tuple(log) for log in receipt.logs]))
    after = case.view.after(session.finish().changes)
    if case.refused and after != case.view:
        return f"{case.name}: a refused transaction changed the state"
    _touch(after, case.context)
    if f"0x{logs_hash.hex()}" != case.logs_hash:
        return f"{case.name}: logs differ"
    root = f"0x{after.root().hex()}"
    return None if root == case.root else f"{case.name}: root {root} where {case.root} is expected"


def run_file(file: Path, fork_name: str, executor: Executor) -> tuple[int, list[str]]:
    """How many cases a file has under a fork, and what is wrong with them."""
    count, failures = 0, []
    for case in cases_of(file, fork_name):
        count += 1
        failure = failure_of(case, executor)
        if failure is not None:
            failures.append(failure)
    return count, failures


def _touch(view: MemoryView, context: BlockContext) -> None:
    # The tools that made the tests pay the author a reward of nothing after the transaction, valid or not.
    account = view.accounts.get(context.author)
    if context.fork < Fork.SPURIOUS_DRAGON:
        if account is None:
            view.put(context.author)
    elif account is not None and account.is_empty:
        del view.accounts[context.author]
        view.slots.pop(context.author, None)


def _view(pre: dict[str, Any]) -> MemoryView:
    view = MemoryView()
    for address, account in pre.items():
        view.put(
            _address(address),
            int(account["balance"], 16),
            int(account["nonce"], 16),
            bytes.fromhex(account["code"][2:]),
            {int(slot, 16): int(value, 16) for slot, value in account["storage"].items()},
        )
    return view


def _context(env: dict[str, str], fork: Fork) -> BlockContext:
    return BlockContext(
        chain_id=1,
        fork=fork,
        number=int(env["currentNumber"], 16),
        timestamp=int(env["currentTimestamp"], 16),
        author=_address(env["currentCoinbase"]),
        gas_limit=int(env["currentGasLimit"], 16),
        base_fee_per_gas=int(env.get("currentBaseFee", "0xa"), 16) if fork >= Fork.LONDON else None,
        difficulty=int(env["currentDifficulty"], 16),
        # What the tools that made the tests answer to BLOCKHASH.
        block_hash=lambda number: keccak256(str(number).encode()),
    )


def _address(text: str) -> Address:
    return Address(bytes.fromhex(text[2:]))
