"""Offline proofs: made from a node's answers, checked without one; altered ones prove nothing."""

import zlib
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from consensus.clique.rules import CliqueRules
from node.chain.genesis import genesis_block
from node.light.bundle import (
    MAGIC,
    Bundle,
    InvalidBundle,
    ReceiptClaim,
    decode_bundle,
    encode_bundle,
    verify_bundle,
)
from node.light.checkpoint import (
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
    verify_checkpoint,
)
from node.light.errors import InvalidCheckpoint
from node.light.json_rpc import JsonRpc
from node.light.prover import Wanted, find_block, make_bundle, make_checkpoint
from node.light.provider import RpcProvider
from node.light.verifier import Trusted
from node.primitives.block import decode_header, encode_header
from node.primitives.errors import ChainError
from node.primitives.ids import Address, hex_of
from tests.chain.harness import ACCOUNTS, KEYS
from tests.light.conftest import Edge, ask
from tests.light.made import Made, MadeProvider

RICH = Address(bytes.fromhex(ACCOUNTS[3].address[2:]))


def rpc_of(edge: Edge) -> tuple[JsonRpc, RpcProvider]:
    rpc = JsonRpc(edge.url, timeout_s=20.0, bytes_max=1 << 24)
    return rpc, RpcProvider(rpc)


def block_zero(edge: Edge) -> Checkpoint:
    header = genesis_block(edge.maker.spec).header
    trusted = Trusted(header, edge.maker.rules.initial(header), header.difficulty)
    return Checkpoint(edge.maker.spec.chain_id, header.hash, trusted)


async def made_bundle(edge: Edge, *, short: bool = False, checkpoint: Checkpoint | None = None) -> Bundle:
    wanted = Wanted(
        accounts=(edge.desk, RICH, Address(b"\x07" * 20)),
        slots=(0, 0x99),
        with_code=True,
        transactions=(edge.order.hash,),
        logs=((edge.order.hash, 0),),
    )
    _, provider = rpc_of(edge)
    number = await ask(find_block, provider, [edge.order.hash])
    return await ask(
        partial(
            make_bundle,
            provider,
            checkpoint or block_zero(edge),
            edge.maker.rules,
            number,
            wanted,
            short=short,
        )
    )


def facts(edge: Edge, bundle: Bundle, checkpoint: Checkpoint | None = None) -> Any:
    rules = CliqueRules(edge.maker.spec.engine)
    return verify_bundle(bundle, checkpoint or block_zero(edge), edge.maker.spec, rules)


async def test_a_proof_shows_what_the_chain_holds(edge: Edge) -> None:
    bundle = decode_bundle(encode_bundle(await made_bundle(edge)))
    proved = facts(edge, bundle)
    assert proved.header == edge.maker.reader.header_by_number(3)
    assert "every" not in proved.how
    assert "verified" in proved.how
    contract, rich, nobody, tx, receipt, _, log = proved.facts
    view = edge.maker.reader.state_at(proved.header.hash)
    assert contract["storage"] == {"0x0": f"0x{view.storage(edge.desk, 0):064x}", "0x99": "0x" + "00" * 32}
    account = view.account(RICH)
    assert account is not None
    assert (rich["balance"], rich["nonce"], nobody["exists"]) == (account.balance, account.nonce, False)
    assert (tx["hash"], tx["from"]) == (hex_of(edge.order.hash), ACCOUNTS[0].address.lower())
    assert receipt["succeeded"]
    assert log["address"] == hex_of(edge.desk)


async def test_a_short_proof_says_that_it_trusts_a_majority(edge: Edge) -> None:
    bundle = await made_bundle(edge, short=True)
    assert "attested" in facts(edge, bundle).how


async def test_under_a_younger_checkpoint_hashes_are_enough(edge: Edge) -> None:
    rpc, provider = rpc_of(edge)
    checkpoint = await ask(make_checkpoint, rpc, provider, edge.maker.rules, 6)
    bundle = await made_bundle(edge, checkpoint=checkpoint)
    assert [header.number for header in bundle.segments[0]] == [3, 4, 5, 6]
    assert "linked by hashes" in facts(edge, bundle, checkpoint).how


async def test_no_altered_proof_is_accepted(edge: Edge) -> None:
    bundle = await made_bundle(edge)
    inflated = bytearray(zlib.decompress(encode_bundle(bundle)[len(MAGIC) :]))
    right = facts(edge, bundle)
    for at in range(0, len(inflated), 97):
        inflated[at] ^= 1
        raw = MAGIC + zlib.compress(bytes(inflated), 1)
        inflated[at] ^= 1
        try:
            assert facts(edge, decode_bundle(raw)).header == right.header, f"byte {at}"
        except ChainError:
            continue
        # What may change is what is asked: the place of a log, say; the facts themselves may not.
        assert all(fact in right.facts for fact in facts(edge, decode_bundle(raw)).facts), f"byte {at}"


async def test_a_block_on_which_too_few_have_built_is_not_proved(edge: Edge) -> None:
    bundle = await made_bundle(edge)
    (headers,) = bundle.segments
    with pytest.raises(InvalidBundle, match="too few signers"):
        facts(edge, replace(bundle, segments=(headers[:4],)))
    with pytest.raises(InvalidBundle, match="not among the headers"):
        facts(edge, replace(bundle, segments=(headers[:2],)))


async def test_a_claim_of_what_is_not_there_is_refused(edge: Edge) -> None:
    bundle = await made_bundle(edge)
    receipt = next(claim for claim in bundle.claims if isinstance(claim, ReceiptClaim))
    with pytest.raises(InvalidBundle, match="no log 9"):
        facts(edge, replace(bundle, claims=(replace(receipt, log=9),)))


@pytest.mark.parametrize("raw", [b"", b"\x00" * 100, MAGIC, MAGIC + zlib.compress(b""), MAGIC + b"\x78\x9c"])
def test_noise_is_no_proof(raw: bytes) -> None:
    with pytest.raises(ChainError):
        decode_bundle(raw)


def test_epochs_lead_a_short_proof_to_other_signers() -> None:
    made = Made("ABC", epoch_blocks=100).grow(5)
    for joins, leaves in zip("DEF", "ABC", strict=True):
        made.admit(joins)
        made.drop(leaves)
        made.grow(100 - made.headers[-1].number % 100 + 12)
    made.grow(30)
    start = Checkpoint(1337, made.genesis.hash, Trusted(made.genesis, made.states[0], 1))
    number = made.headers[-1].number - 6
    provider: Any = MadeProvider(made)
    bundle = make_bundle(provider, start, made.rules, number, Wanted(), short=True)
    assert len(bundle.segments) > 1
    assert "hops" in verify_bundle(decode_bundle(encode_bundle(bundle)), start, made.spec, made.rules).how
    assert sum(map(len, bundle.segments)) < 200
    without = replace(bundle, segments=bundle.segments[-1:])
    with pytest.raises(InvalidBundle, match="more than half"):
        verify_bundle(without, start, made.spec, made.rules)


# --- checkpoints


async def test_a_checkpoint_holds_the_state_exactly(edge: Edge) -> None:
    rpc, provider = rpc_of(edge)
    voted = await ask(partial(edge.maker.extend, vote=(Address(b"\x55" * 20), True)))
    checkpoint = await ask(make_checkpoint, rpc, provider, edge.maker.rules, voted.number)
    again = decode_checkpoint(encode_checkpoint(checkpoint), edge.maker.rules)
    assert again == checkpoint
    assert again.trusted.state == edge.maker.reader.engine_state(voted.hash)
    assert again.trusted.total_difficulty == edge.maker.reader.total_difficulty(voted.hash)
    assert again.genesis_hash == block_zero(edge).genesis_hash


def test_a_checkpoint_needs_the_signatures_that_are_demanded() -> None:
    made = Made("ABCD").grow(3)
    checkpoint = Checkpoint(1337, made.genesis.hash, Trusted(made.headers[3], made.states[3], 7))
    authorities = [key.address for key in KEYS[:3]]
    signed = decode_checkpoint(encode_checkpoint(checkpoint.signed(KEYS[0]).signed(KEYS[5])), made.rules)
    assert signed.signed_by() == {KEYS[0].address, KEYS[5].address}
    verify_checkpoint(signed, 1337, made.genesis.hash, authorities, 1)
    twice = signed.signed(KEYS[0])
    for short, least in ((checkpoint, 1), (signed, 2), (twice, 2)):
        with pytest.raises(InvalidCheckpoint, match="are demanded"):
            verify_checkpoint(short, 1337, made.genesis.hash, authorities, least)
    with pytest.raises(InvalidCheckpoint, match="is of chain"):
        verify_checkpoint(signed, 1338, made.genesis.hash, (), 0)
    moved = replace(signed, trusted=replace(signed.trusted, total_difficulty=8))
    assert KEYS[0].address not in moved.signed_by()


def test_a_checkpoint_that_contradicts_itself_is_refused() -> None:
    made = Made("ABCD").grow(3)
    good = Checkpoint(1337, made.genesis.hash, Trusted(made.headers[3], made.states[3], 7))
    text = encode_checkpoint(good)
    other = encode_header(made.headers[2]).hex()
    assert decode_header(bytes.fromhex(other)).number == 2
    for broken in (
        text.replace(encode_header(made.headers[3]).hex(), other),
        encode_checkpoint(replace(good, trusted=replace(good.trusted, state=made.states[2]))),
        "{}",
        "[]",
        "no JSON",
        text.replace("phoenix-checkpoint/1", "phoenix-checkpoint/9"),
    ):
        with pytest.raises(ChainError):
            decode_checkpoint(broken, made.rules)
