"""What must hold of every healthy network, judged from outside: JSON-RPC answers of all nodes, compared.

Blocks are compared a few below the heads, where forks of a moment are over. Headers are hashed, linked and
their seals recovered here, so that a node is not believed what can be computed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from consensus.clique.extra_data import recover_author
from devnet.archive_checks import archive_findings
from devnet.client import RpcClient, RpcError, Unreachable, on_all
from devnet.finding import Finding
from devnet.light_checks import check_light_clients
from devnet.network import POLL_S, NodeView, RunningNetwork
from devnet.replica_checks import check_replicas
from node.primitives.block import Header
from node.primitives.ids import Address, Hash32, hex_of

SETTLED_BLOCKS: Final = 6
"""Blocks below the lowest head from which on all nodes must agree."""
WINDOW_BLOCKS: Final = 64
"""Settled blocks that are looked at."""
RECEIPT_BLOCKS_MAX: Final = 16
"""Settled blocks with transactions whose receipts are compared."""
ADVANCE_PERIODS: Final = 8
"""A head that stands still for so many periods stands still."""


def check(network: RunningNetwork) -> list[Finding]:
    """Every invariant, in the order in which they are worth reading."""
    return list(_findings(network))


def _findings(network: RunningNetwork) -> Iterator[Finding]:
    views = network.views()
    silent = [name for name, seen in views.items() if seen.head is None]
    yield Finding("every node answers", not silent, "silent: " + ", ".join(silent) if silent else "")
    clients = {name: network.clients[name] for name in views if name not in silent}
    if not clients:
        return
    try:
        yield _same(clients, "same chain id", "eth_chainId")
        yield _same(
            clients, "same genesis", "eth_getBlockByNumber", "0x0", False, pick=lambda block: block["hash"]
        )
        yield _heads_advance(network, clients)
        settled = _lowest_head(network, clients) - SETTLED_BLOCKS
        if settled < 1:
            yield Finding("settled blocks agree", True, "no block is settled yet; ask again later")
            return
        yield from _settled_blocks(network, clients, settled)
        yield _same_accounts(network, clients, settled)
        yield from check_replicas(network, clients, settled)
        yield from check_light_clients(network, clients)
        yield from archive_findings(network, clients, settled)
    except (Unreachable, RpcError, KeyError, TypeError) as error:
        yield Finding("every question is answered", False, f"{type(error).__name__}: {error}")


def _heads_advance(network: RunningNetwork, clients: dict[str, RpcClient]) -> Finding:
    before = network.views()
    deadline = time.monotonic() + ADVANCE_PERIODS * network.layout.network.period_s
    while True:
        after = network.views()
        still = [name for name in clients if not _advanced(before[name], after[name])]
        if not still or time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    heads = ", ".join(f"{name} {after[name].head}" for name in clients)
    apart = [head for name in clients if (head := after[name].head) is not None]
    near = bool(apart) and max(apart) - min(apart) < SETTLED_BLOCKS
    return Finding("heads advance together", not still and near, heads)


def _advanced(before: NodeView, after: NodeView) -> bool:
    return before.head is not None and after.head is not None and after.head > before.head


def _lowest_head(network: RunningNetwork, clients: dict[str, RpcClient]) -> int:
    heads = [
        head for name, seen in network.views().items() if name in clients and (head := seen.head) is not None
    ]
    return min(heads, default=0)


def _settled_blocks(
    network: RunningNetwork, clients: dict[str, RpcClient], settled: int
) -> Iterator[Finding]:
    first = max(1, settled - WINDOW_BLOCKS + 1)
    requests = [("eth_getBlockByNumber", (hex(number), False)) for number in range(first, settled + 1)]
    chains = _ask(clients, lambda client: client.batch(requests))
    odd = _odd_one(chains)
    yield Finding(
        "same blocks and state roots",
        odd is None,
        f"blocks {first} to {settled}" if odd is None else f"{odd} differs{_first_difference(chains, odd)}",
    )
    blocks = next(iter(chains.values()))
    headers = [header_of(block) for block in blocks]
    yield _hashes_and_links(headers, blocks)
    yield _seals(network, next(iter(clients.values())), headers)
    yield _same_receipts(clients, blocks)


def _hashes_and_links(headers: Sequence[Header], blocks: Sequence[dict[str, Any]]) -> Finding:
    for header, block in zip(headers, blocks, strict=True):
        if hex_of(header.hash) != block["hash"]:
            detail = (
                f"block {header.number} says {block['hash']}, but its header hashes to {hex_of(header.hash)}"
            )
            return Finding("headers hash and link", False, detail)
    for parent, header in pairwise(headers):
        if header.parent_hash != parent.hash:
            return Finding(
                "headers hash and link", False, f"block {header.number} does not follow its parent"
            )
    return Finding("headers hash and link", True, f"{len(headers)} headers")


def _seals(network: RunningNetwork, client: RpcClient, headers: Sequence[Header]) -> Finding:
    """By authorised signers, nobody twice within the limit, and none of them silent."""
    first, signers = (
        [Address(_bytes(signer)) for signer in client.call("clique_getSigners", hex(number))]
        for number in (headers[0].number, headers[-1].number)
    )
    authors = [recover_author(header) for header in headers]
    # Votes may have changed the set inside the window; its first and last set bound it well enough.
    strangers = sorted({hex_of(author) for author in authors if author not in first + signers})
    limit = min(len(first), len(signers)) // 2 + 1
    hasty = [h.number for i, h in enumerate(headers) if authors[i] in authors[max(0, i - limit + 1) : i]]
    # Too few blocks, or dead nodes that `every node answers` names already, make silence mean nothing.
    silent = [hex_of(signer) for signer in signers if signer not in authors]
    expected = len(headers) >= 4 * len(signers)
    holds = not strangers and not hasty and not (silent and expected)
    counts = ", ".join(f"{hex_of(signer)[:10]} {authors.count(signer)}" for signer in signers)
    faults = [f"not authorised: {strangers}"] * bool(strangers) + [f"sealed too soon: {hasty}"] * bool(hasty)
    return Finding("signers seal in their turns", holds, "; ".join([counts, *faults]))


def _same_receipts(clients: dict[str, RpcClient], blocks: Sequence[dict[str, Any]]) -> Finding:
    busy = [block for block in blocks if block["transactions"]][-RECEIPT_BLOCKS_MAX:]
    requests = [("eth_getBlockReceipts", (block["number"],)) for block in busy]
    answers = _ask(clients, lambda client: client.batch(requests))
    odd = _odd_one(answers)
    receipts = next(iter(answers.values()))
    short = [b["number"] for b, r in zip(busy, receipts, strict=True) if len(r) != len(b["transactions"])]
    if odd is not None:
        return Finding("same receipts", False, f"{odd} differs{_first_difference(answers, odd)}")
    if short:
        return Finding("same receipts", False, f"blocks with fewer receipts than transactions: {short}")
    total = sum(len(block["transactions"]) for block in busy)
    return Finding("same receipts", True, f"{total} receipts of {len(busy)} blocks")


def _same_accounts(network: RunningNetwork, clients: dict[str, RpcClient], settled: int) -> Finding:
    """Nonce and balance of every funded account after the last settled block."""
    accounts = [account["address"] for account in network.layout.accounts]
    methods = ("eth_getTransactionCount", "eth_getBalance")
    requests = [(method, (address, hex(settled))) for address in accounts for method in methods]
    answers = _ask(clients, lambda client: client.batch(requests))
    odd = _odd_one(answers)
    if odd is not None:
        return Finding("same nonces and balances", False, f"{odd} differs{_first_difference(answers, odd)}")
    return Finding("same nonces and balances", True, f"{len(accounts)} accounts after block {settled}")


def _same(
    clients: dict[str, RpcClient],
    what: str,
    method: str,
    *params: Any,
    pick: Callable[[Any], Any] = lambda answer: answer,
) -> Finding:
    answers = _ask(clients, lambda client: pick(client.call(method, *params)))
    odd = _odd_one(answers)
    first = next(iter(answers.values()))
    return Finding(
        what, odd is None, str(first) if odd is None else f"{odd} says {answers[odd]}, others {first}"
    )


def _ask(clients: dict[str, RpcClient], question: Callable[[RpcClient], Any]) -> dict[str, Any]:
    answers = dict(zip(clients, on_all(clients.values(), question), strict=True))
    for answer in answers.values():
        for item in answer if isinstance(answer, list) else ():
            if isinstance(item, RpcError):
                raise item
    return answers


def _odd_one(answers: dict[str, Any]) -> str | None:
    """The first that differs from the majority's answer."""
    values = list(answers.values())
    usual = max(values, key=values.count)
    return next((name for name, value in answers.items() if value != usual), None)


def _first_difference(answers: dict[str, Any], odd: str) -> str:
    """Where the odd answer leaves another one, and what both say there."""
    usual = next(value for value in answers.values() if value != answers[odd])
    path, theirs, others = "", answers[odd], usual
    while True:
        if isinstance(theirs, dict) and isinstance(others, dict):
            keys = sorted(theirs.keys() | others.keys())
        elif isinstance(theirs, list) and isinstance(others, list) and len(theirs) == len(others):
            keys = list(range(len(theirs)))
        else:
            return f" at {path or 'the top'}: {str(theirs)[:80]}, others {str(others)[:80]}"
        pairs = ((key, _item(theirs, key), _item(others, key)) for key in keys)
        key, theirs, others = next(each for each in pairs if each[1] != each[2])
        path += f"[{key}]"


def _item(value: Any, key: Any) -> Any:
    return value.get(key) if isinstance(value, dict) else value[key]


def header_of(block: dict[str, Any]) -> Header:
    """A header from eth_getBlockByNumber's JSON."""
    base_fee = block.get("baseFeePerGas")
    return Header(
        parent_hash=Hash32(_bytes(block["parentHash"])),
        ommers_hash=Hash32(_bytes(block["sha3Uncles"])),
        beneficiary=Address(_bytes(block["miner"])),
        state_root=Hash32(_bytes(block["stateRoot"])),
        transactions_root=Hash32(_bytes(block["transactionsRoot"])),
        receipts_root=Hash32(_bytes(block["receiptsRoot"])),
        logs_bloom=_bytes(block["logsBloom"]),
        difficulty=int(block["difficulty"], 16),
        number=int(block["number"], 16),
        gas_limit=int(block["gasLimit"], 16),
        gas_used=int(block["gasUsed"], 16),
        timestamp=int(block["timestamp"], 16),
        extra_data=_bytes(block["extraData"]),
        mix_hash=Hash32(_bytes(block["mixHash"])),
        nonce=_bytes(block["nonce"]),
        base_fee_per_gas=None if base_fee is None else int(base_fee, 16),
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
