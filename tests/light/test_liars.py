"""Upstreams that lie, one way each: no wrong answer is accepted, and every refusal says why.

Each liar is a real HTTP server; behind it, and beside it where a second upstream is asked, is a real node.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio

from consensus.clique.extra_data import seal_hash, sealed
from node.execution.evm.executor import FastExecutor
from node.execution.executor import Call
from node.light.client import LightClient
from node.light.errors import NothingProved
from node.primitives import rlp
from node.primitives.block import Header, decode_block, decode_header, encode_header
from node.primitives.crypto import PrivateKey
from node.primitives.errors import RequestError
from node.primitives.ids import Address, hex_of
from node.primitives.receipt import decode_receipt, encode_receipt
from node.primitives.transaction import encode_transactions
from node.rpc.backend import CallPlace
from tests.chain.harness import ACCOUNTS, KEYS, transfer
from tests.light.conftest import SIGNERS, Edge, ask, wait_head
from tests.light.liar import Liar, Refuse, Twist, dripping, endless, flipped, on, said

RICH = Address(bytes.fromhex(ACCOUNTS[3].address[2:]))
STRANGER = PrivateKey(b"\x42" * 32)


def balance(client: LightClient) -> int:
    account = client.state.view(client.head).account(RICH)
    assert account is not None
    return account.balance


def page(client: LightClient, edge: Edge) -> int:
    return client.state.view(client.head).storage(edge.desk, 0)


def code(client: LightClient, edge: Edge) -> bytes:
    view = client.state.view(client.head)
    account = view.account(edge.desk)
    assert account is not None
    return view.code(account.code_hash)


def order_block(client: LightClient, edge: Edge) -> tuple[bytes, ...]:
    block = client.block(client.canonical_hash(3))
    return tuple(tx.hash for tx in block.transactions)


def order_logs(client: LightClient, edge: Edge) -> Any:
    return client.receipts(client.canonical_hash(3))


def order_place(client: LightClient, edge: Edge) -> Any:
    header, index = client.transaction_place(edge.order.hash) or (None, -1)
    return (header.number if header else None, index)


READS: dict[str, Callable[[LightClient, Edge], Any]] = {
    "balance": lambda client, edge: balance(client),
    "slot": page,
    "code": code,
    "block": order_block,
    "receipts": order_logs,
    "place": order_place,
}


def without_last(raw_block: str) -> str:
    block = decode_block(bytes.fromhex(raw_block[2:]))
    fewer = encode_transactions(block.transactions[:-1])
    return hex_of(rlp.encode_list([encode_header(block.header), fewer, rlp.encode_list([])]))


def without_logs(raw_receipts: list[str]) -> list[str]:
    receipts = [decode_receipt(bytes.fromhex(raw[2:])) for raw in raw_receipts]
    return [hex_of(encode_receipt(replace(receipt, logs=()))) for receipt in receipts]


def last_node_flipped(proof: dict[str, Any]) -> dict[str, Any]:
    return {**proof, "accountProof": [*proof["accountProof"][:-1], flipped(proof["accountProof"][-1])]}


def no_storage_proof(proof: dict[str, Any]) -> dict[str, Any]:
    return {
        **proof,
        "storageProof": [{**slot, "proof": slot["proof"][:-1]} for slot in proof["storageProof"]],
    }


LIES: dict[str, tuple[str, Twist, str]] = {
    "a node of the proof altered": (
        "balance",
        on("eth_getProof", last_node_flipped),
        "not the one its parent",
    ),
    "a proof that ends early": (
        "balance",
        on("eth_getProof", lambda proof: {**proof, "accountProof": proof["accountProof"][:-1]}),
        "before the key does",
    ),
    "a proof that goes on too long": (
        "balance",
        on("eth_getProof", lambda proof: {**proof, "accountProof": [*proof["accountProof"], "0x00"]}),
        "nodes and needs",
    ),
    "no proof at all": (
        "balance",
        on("eth_getProof", lambda proof: {**proof, "accountProof": []}),
        "ends after 0",
    ),
    "a proof that is no proof": ("balance", on("eth_getProof", lambda proof: "0x"), "something else"),
    "nodes that are no hex": (
        "balance",
        on("eth_getProof", lambda proof: {**proof, "accountProof": ["0xzz"]}),
        "no hex data",
    ),
    "storage proved to be empty": ("slot", on("eth_getProof", no_storage_proof), "before the key does"),
    "other code": ("code", on("eth_getCode", flipped), "bytes of code hash to"),
    "no code": ("code", on("eth_getCode", lambda _: "0x"), "0 bytes of code"),
    "a transaction left out": ("block", on("debug_getRawBlock", without_last), "transactions of block 3"),
    "a log left out": ("receipts", on("debug_getRawReceipts", without_logs), "receipts of block 3"),
    "a receipt left out": (
        "receipts",
        on("debug_getRawReceipts", lambda raw: raw[:-1]),
        "receipts of block 3",
    ),
    "receipts in another order": (
        "receipts",
        on("debug_getRawReceipts", lambda raw: raw[::-1]),
        "receipts of",
    ),
    "a transaction somewhere else": (
        "place",
        on("eth_getTransactionByHash", lambda tx: {**tx, "transactionIndex": "0x1"}),
        "is not number 1 of block",
    ),
    "a transaction beyond the block": (
        "place",
        on("eth_getTransactionByHash", lambda tx: {**tx, "transactionIndex": "0xffff"}),
        "is not number 65535",
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_found_out_and_the_truth_comes_from_another_upstream(edge: Edge, lie: str) -> None:
    read, twist, reason = LIES[lie]
    honest = await edge.following(edge.url, witnesses=1)
    truth = await ask(READS[read], honest, edge)
    liar = edge.liar()
    client = await edge.following(liar.url, edge.url, witnesses=1)
    liar.twist = twist
    client.upstreams.sources[1].latency_s = 1.0  # the liar is the quicker one, and asked first
    assert await ask(READS[read], client, edge) == truth
    (caught,) = client.upstreams.lies
    assert caught.upstream == liar.url
    assert reason in caught.reason
    assert caught.question
    assert caught.answer
    assert [source.name for source in client.upstreams.live()] == [edge.url]


@pytest.mark.long
@pytest.mark.parametrize("lie", LIES)
async def test_with_liars_alone_there_is_no_answer_and_each_is_named(edge: Edge, lie: str) -> None:
    read, twist, reason = LIES[lie]
    liars = [edge.liar(), edge.liar()]
    client = await edge.following(*(liar.url for liar in liars))
    for liar in liars:
        liar.twist = twist
    with pytest.raises(RequestError) as refused:
        await ask(READS[read], client, edge)
    assert reason in str(refused.value)
    assert all(liar.url in str(refused.value) for liar in liars)
    assert client.upstreams.live() == []
    assert {lie.upstream for lie in client.upstreams.lies} == {liar.url for liar in liars}


async def test_the_evidence_is_written_down(edge: Edge) -> None:
    liar = edge.liar()
    client = await edge.following(liar.url, witnesses=1)
    liar.twist = on("eth_getCode", flipped)
    with pytest.raises(NothingProved):
        await ask(code, client, edge)
    (file,) = (edge.folder / "light-0" / "light" / "evidence").iterdir()
    evidence = json.loads(file.read_text())
    assert evidence["upstream"] == liar.url
    assert "bytes of code hash to" in evidence["reason"]
    assert "eth_getCode" in evidence["request"]
    assert json.loads(evidence["answer"])[0]["result"].startswith("0x60")


async def test_an_old_proof_is_no_proof_of_the_new_state(edge: Edge) -> None:
    liar = edge.liar()
    client = await edge.following(liar.url, witnesses=1)
    old = await ask(liar.call, "eth_getProof", ACCOUNTS[1].address, [], "0x2")
    payer = Address(bytes.fromhex(ACCOUNTS[1].address[2:]))
    liar.twist = on("eth_getProof", lambda _: old)
    with pytest.raises(NothingProved, match="not the one its parent names"):
        await ask(client.state.view(client.head).account, payer)


# --- headers


def reseal(header: Header, key: PrivateKey) -> Header:
    return sealed(header, key.sign(seal_hash(header)))


def parent_key(edge: Edge) -> PrivateKey:
    parent = edge.maker.reader.header(edge.maker.head.parent_hash)
    assert parent is not None
    return next(key for key in KEYS if key.address == edge.maker.rules.author(parent))


def forge(edge: Edge, **fields: Any) -> Header:
    """The head, changed and sealed again by its own signer's key: a signer that lies."""
    head = edge.maker.head
    author = edge.maker.rules.author(head)
    key = next(key for key in KEYS if key.address == author)
    return reseal(replace(head, **fields), key)


def shows(header: Header) -> Twist:
    """Claims this header as its head."""

    def twist(method: str, params: list[Any], result: Any) -> Any:
        if method == "debug_getRawHeader" and params[0] in (
            "latest",
            hex(header.number),
            hex_of(header.hash),
        ):
            return hex_of(encode_header(header))
        return result

    return twist


FORGERIES: dict[str, tuple[Callable[[Edge], Header], str]] = {
    "sealed by a stranger": (lambda edge: reseal(edge.maker.head, STRANGER), "is none of the 4 signers"),
    "sealed by a signer that sealed just before": (
        lambda edge: reseal(
            edge.maker.head,
            parent_key(edge),
        ),
        "may make one of any 3 in a row",
    ),
    "a seal over something else": (
        lambda edge: decode_header(
            encode_header(forge(edge)).replace(edge.maker.head.state_root, b"\x11" * 32)
        ),
        "",
    ),
    "the wrong difficulty": (
        lambda edge: forge(edge, difficulty=3 - edge.maker.head.difficulty),
        "difficulty",
    ),
    "too early": (lambda edge: forge(edge, timestamp=edge.maker.head.timestamp - 1), ""),
    "another base fee": (lambda edge: forge(edge, base_fee_per_gas=1), "base fee"),
    "a gas limit out of bounds": (lambda edge: forge(edge, gas_limit=60_000_000), "gas limit"),
    "more gas used than there is": (lambda edge: forge(edge, gas_used=60_000_000), "gas used"),
    "a vote that is none": (lambda edge: forge(edge, nonce=b"\x01" * 8), "nonce"),
    "a mix hash": (lambda edge: forge(edge, mix_hash=b"\x01" * 32), "mix"),
    "signers listed where none may be": (
        lambda edge: forge(edge, extra_data=bytes(32) + STRANGER.address + bytes(65)),
        "20 bytes between vanity and seal",
    ),
    "no seal": (lambda edge: forge_without_seal(edge), ""),
}


def forge_without_seal(edge: Edge) -> Header:
    return replace(edge.maker.head, extra_data=bytes(97))


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_head_is_refused_and_its_upstream_dropped(edge: Edge, forgery: str) -> None:
    make, reason = FORGERIES[forgery]
    liar = edge.liar()
    liar.twist = shows(make(edge))
    client = await edge.following(liar.url, edge.url, witnesses=1)
    (caught,) = client.upstreams.lies
    assert caught.upstream == liar.url
    assert reason in caught.reason
    assert client.head.hash == edge.maker.head.hash


async def test_a_header_with_a_valid_seal_over_a_false_state_is_not_shown(edge: Edge) -> None:
    """A signer and an upstream that lie together: everything fits, but no honest node has that block."""
    liar = edge.liar()
    client = await edge.following(liar.url, edge.url)
    head = edge.maker.head
    false = forge(edge, state_root=b"\x11" * 32)
    liar.twist = shows(false)
    await edge.poll(client)
    assert client.head.hash == head.hash
    assert client.chain.trusted(false.hash) is not None, "well-formed, and so kept in mind"
    assert await ask(client.header, false.hash) is None, "but nobody can ask for its state"
    alone = await edge.following(liar.url)
    assert alone.head.number < false.number, "with one upstream, only what a majority has built on"
    assert alone.head.hash == edge.maker.reader.canonical_hash(alone.head.number)


async def test_a_reorganisation_that_no_majority_has_built_is_not_followed(edge: Edge) -> None:
    """Two signers of four can make a branch, and an upstream can show it; the honest branch stays."""
    maker, liar = edge.maker, edge.liar()
    client = await edge.following(liar.url, edge.url)
    base = maker.reader.header_by_number(maker.head.number - 1)
    other = next(
        key
        for key in SIGNERS
        if key.address != maker.rules.author(maker.head)
        and maker.reader.engine_state(base.hash).last_signed(key.address) is None
    )
    rival = maker.unimported(base, signer=other, vanity=b"rival").header
    liar.twist = shows(rival)
    await edge.poll(client)
    assert client.head.hash == maker.head.hash


async def test_a_stale_head_neither_moves_nor_holds_the_client(edge: Edge) -> None:
    liar = edge.liar()
    old = edge.maker.reader.header_by_number(2)
    client = await edge.following(liar.url, edge.url, witnesses=1)
    liar.twist = shows(old)
    await ask(edge.maker.extend)
    await edge.poll(client)
    assert client.head.hash == edge.maker.head.hash
    assert client.upstreams.lies == []
    assert [source.name for source in client.upstreams.live()] == [edge.url, liar.url], "it is asked last"


async def test_a_withheld_block_is_a_fault_and_the_next_upstream_is_asked(edge: Edge) -> None:
    liar = edge.liar()
    client = await edge.following(liar.url, edge.url)
    client.upstreams.sources[1].latency_s = 1.0

    def hold_back(method: str, params: list[Any], result: Any) -> Any:
        if method == "debug_getRawBlock":
            raise Refuse("the method debug_getRawBlock does not exist/is not available")
        return None if method == "eth_getBlockByHash" else result

    liar.twist = hold_back
    assert edge.order.hash in await ask(order_block, client, edge)
    assert client.upstreams.lies == []
    assert "Withheld" in str(client.upstreams.sources[0].last_fault)


async def test_a_withheld_transaction_is_found_through_another_upstream(edge: Edge) -> None:
    liar = edge.liar()
    client = await edge.following(liar.url, edge.url)
    client.upstreams.sources[1].latency_s = 1.0
    liar.twist = on("eth_getTransactionByHash", lambda _: None)
    assert (await ask(order_place, client, edge))[0] == 3


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (endless, "TooLarge"),
        (dripping, "TooSlow"),
        (said(b"[" * 100_000), "no JSON"),
        (said(b"<html>busy</html>"), "no JSON"),
        (said(b"{}"), "JSON-RPC"),
        (said(b'{"jsonrpc":"2.0","id":0,"result":"0x' + b"00" * 300_000 + b'"}'), ""),
        (lambda handler, body: True, "Unreachable"),
    ],
    ids=["endless", "dripping", "nested", "html", "empty", "large", "hangs up"],
)
async def test_no_answer_takes_more_time_or_memory_than_agreed(edge: Edge, raw: Any, reason: str) -> None:
    liar = edge.liar()
    # Generous but for the one that time must end: the honest upstream has as long.
    agreed_s = 6.0 if raw is dripping else 60.0
    client = await edge.following(liar.url, edge.url, request_timeout_s=agreed_s, answer_bytes_max=4 << 20)
    truth = await ask(balance, client)
    await ask(edge.maker.extend, [transfer(ACCOUNTS[4], 0)])
    await edge.poll(client)
    client.upstreams.sources[1].latency_s = 1.0
    liar.raw = raw
    began = time.monotonic()
    assert await ask(balance, client) == truth
    assert time.monotonic() - began < 60
    fault, (source, _) = "", client.upstreams.sources
    fault = source.dropped or source.last_fault or ""
    assert reason in fault
    assert fault


async def test_an_upstream_of_another_chain_is_dropped(edge: Edge) -> None:
    liar = edge.liar()
    liar.twist = on("eth_chainId", lambda _: "0x1")
    client = await edge.following(liar.url, edge.url, witnesses=1)
    assert "it serves chain 1, not 1337" in client.upstreams.lies[0].reason
    assert client.head.hash == edge.maker.head.hash


async def test_a_transaction_is_taken_under_its_own_hash_only(edge: Edge) -> None:
    liar = edge.liar()
    client = await edge.following(liar.url)
    liar.twist = on("eth_sendRawTransaction", flipped)
    with pytest.raises(NothingProved, match="and calls it"):
        await ask(client.send, transfer(ACCOUNTS[4], 0))


@pytest.mark.parametrize(
    "hint",
    [
        {"accessList": [], "gasUsed": "0x0"},
        {"accessList": [{"address": "0x" + "07" * 20, "storageKeys": ["0x" + "01" * 32]}], "gasUsed": "0x0"},
        "0x",
        None,
    ],
    ids=["nothing", "something else", "text", "null"],
)
async def test_a_false_hint_changes_no_answer(edge: Edge, hint: Any) -> None:
    from node.backends.light import LightExecution
    from tests.rpc import desk

    liar = edge.liar()
    client = await edge.following(liar.url, edge.url)
    liar.twist = on("eth_createAccessList", lambda _: hint)
    client.upstreams.sources[1].latency_s = 1.0
    call = Call(
        sender=RICH, to=edge.desk, data=desk.call("share(uint256,uint256)", 10, 4), gas_limit=1_000_000
    )
    execution = LightExecution(client, FastExecutor(None))
    result = await ask(partial(execution.call, CallPlace(header=client.head), call, lambda: False))
    view = edge.maker.reader.state_at(edge.maker.head.hash)
    context = edge.maker.reader.context_of(edge.maker.head)
    expected = FastExecutor(None).call(context, view, call)
    assert (result.output, result.gas_used, result.error) == (
        expected.output,
        expected.gas_used,
        expected.error,
    )


async def test_a_new_question_about_what_is_at_hand_goes_to_no_upstream(edge: Edge) -> None:
    from node.backends.light import LightExecution
    from tests.rpc import desk

    liar = edge.liar()
    client = await edge.following(liar.url)
    execution = LightExecution(client, FastExecutor(None))
    place = CallPlace(header=client.head)

    async def share(number: int) -> int:
        data = desk.call("share(uint256,uint256)", number, 1)
        call = Call(sender=RICH, to=edge.desk, data=data, gas_limit=1_000_000)
        result = await ask(partial(execution.call, place, call, lambda: False))
        return int.from_bytes(result.output, "big")

    assert await share(10) == 10
    assert "eth_createAccessList" in liar.asked
    asked = list(liar.asked)
    assert await share(11) == 11
    assert liar.asked == asked


async def test_a_head_ahead_of_our_clock_is_nobody_s_lie(edge: Edge) -> None:
    liar = edge.liar()
    liar.twist = shows(forge(edge, timestamp=2**40))
    client = await edge.following(liar.url, edge.url, witnesses=1)
    assert client.upstreams.lies == []
    assert client.head.hash == edge.maker.head.hash


async def test_following_goes_on_while_an_upstream_is_slow(edge: Edge) -> None:
    liar = edge.liar()
    liar.raw = dripping
    client = await ask(partial(edge.client, liar.url, edge.url, request_timeout_s=120.0, witnesses=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.run)
        with trio.fail_after(60):
            await wait_head(client, edge.maker.head)
        nursery.cancel_scope.cancel()


def test_liars_are_real_servers() -> None:
    with Liar(1) as liar:
        assert liar.url.startswith("http://127.0.0.1:")


async def test_a_token_reaches_the_upstream_and_no_report(edge: Edge) -> None:
    liar, seen = edge.liar(), []

    def look(handler: Any, body: bytes) -> bool:
        seen.append(handler.headers.get("Authorization"))
        return False

    liar.raw = look
    path = edge.folder / "token"
    path.write_text("sesame\n")
    path.chmod(0o600)
    client = await edge.following(liar.url, upstream_token_file=path)
    assert set(seen) == {"Bearer sesame"}
    assert "sesame" not in client.upstreams.sources[0].name
