"""The guard: nothing leaves before it is durable, nothing contradicts what left."""

from dataclasses import replace
from random import Random

import pytest
import trio

from consensus.clique.extra_data import seal_hash
from node.primitives.crypto import PrivateKey, keccak256, recover_address
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.signing.guard import GuardedSigner, GuardRefusal, InconsistentRequest
from node.signing.guard_rows import Guard, GuardRule, RuleChange, SignRecord
from node.signing.signer import (
    DigestSigner,
    LocalKey,
    RefusedElsewhere,
    Signer,
    SigningError,
    SigningRequest,
)
from node.storage.kv import Batch
from node.storage.memory import MemoryKV
from node.storage.schema import sign_record_key
from tests.signing.headers import header_at

KEY = PrivateKey(b"\x11" * 32)
OTHER = PrivateKey(b"\x22" * 32)
CHAIN = 1337
A, B = keccak256(b"a"), keccak256(b"b")


def request(height: int, digest: Hash32, round_number: int = 0, kind: str = "vote") -> SigningRequest:
    return SigningRequest(
        kind=kind,
        chain_id=CHAIN,
        height=height,
        round_number=round_number,
        digest=digest,
        attachment=b"block",
    )


def signer_over(kv: MemoryKV, rule: GuardRule = "height", now: int = 0) -> GuardedSigner:
    return GuardedSigner(LocalKey(KEY), kv, CHAIN, rule, unix_time=lambda: now)


class NeverTwice:
    """A key that signs differently each time, as an HSM may, and counts."""

    address = KEY.address
    is_elsewhere = False

    def __init__(self) -> None:
        self.calls = 0

    def sign_digest(self, asked: SigningRequest) -> bytes:
        self.calls += 1
        assert self.calls == 1
        return KEY.sign(asked.digest)


async def test_a_signature_is_the_keys_and_is_on_the_disk_when_it_is_given() -> None:
    kv = MemoryKV()
    signer: Signer = signer_over(kv)
    signature = await signer.sign(request(5, A))
    assert recover_address(A, signature) == KEY.address == signer.address
    assert signer_over(kv.after_crash(Random(0))).last("vote") == SignRecord(5, 0, A, signature, b"block")


async def test_the_same_request_gives_the_recorded_signature_and_never_asks_the_key_again() -> None:
    key = NeverTwice()
    signer = GuardedSigner(key, MemoryKV(), CHAIN)
    assert await signer.sign(request(5, A)) == await signer.sign(request(5, A))


@pytest.mark.parametrize(
    ("height", "round_number", "digest"),
    [(5, 1, B), (5, 0, A), (4, 0, B), (4, 9, B), (0, 0, A)],
    ids=["other digest", "lower round", "lower height", "lower height, higher round", "genesis"],
)
async def test_lower_or_different_is_refused_with_the_numbers(height, round_number, digest) -> None:
    signer = signer_over(MemoryKV())
    first = await signer.sign(request(5, A, 1))
    with pytest.raises(GuardRefusal, match=f"height {height}, round {round_number}.*height 5, round 1"):
        await signer.sign(request(height, digest, round_number))
    assert await signer.sign(request(5, A, 1)) == first
    assert signer.refusals == 1


async def test_higher_rounds_and_heights_are_signed() -> None:
    signer = signer_over(MemoryKV())
    for height, round_number, digest in [(5, 0, A), (5, 1, B), (6, 0, A), (1 << 40, 7, B)]:
        assert (
            recover_address(digest, await signer.sign(request(height, digest, round_number))) == KEY.address
        )


async def test_by_height_no_two_headers_share_one_even_on_different_forks() -> None:
    signer = signer_over(MemoryKV())
    first = await signer.sign(replace(request(6, A), weight=9))
    for height, weight in [(6, 10), (6, 9), (5, 99)]:
        with pytest.raises(GuardRefusal, match=r'signing.guard_rule = "weight"|total difficulty 9$'):
            await signer.sign(replace(request(height, B), weight=weight))
    assert await signer.sign(replace(request(6, A), weight=9)) == first
    assert recover_address(B, await signer.sign(replace(request(7, B), weight=8))) == KEY.address


@pytest.mark.parametrize(("weight", "helps"), [(9, False), (10, True)])
async def test_the_recovery_is_named_where_it_helps(weight: int, helps: bool) -> None:
    signer = signer_over(MemoryKV())
    await signer.sign(replace(request(6, A), weight=9))
    with pytest.raises(GuardRefusal) as caught:
        await signer.sign(replace(request(6, B), weight=weight))
    assert ('signing.guard_rule = "weight"' in str(caught.value)) is helps


async def test_the_rule_may_be_changed_and_nothing_signed_under_either_is_forgotten() -> None:
    kv = MemoryKV()
    await signer_over(kv).sign(replace(request(8, A), weight=9))
    by_weight = signer_over(kv, "weight", now=100)
    await by_weight.sign(replace(request(6, B), weight=10))
    with pytest.raises(GuardRefusal):
        await by_weight.sign(replace(request(9, A), weight=10))
    by_height = signer_over(kv.after_crash(Random(4)), "height", now=200)
    for height in (6, 7, 8):
        with pytest.raises(GuardRefusal):
            await by_height.sign(replace(request(height, A), weight=11))
    # Higher on a lighter branch, and then by weight again: the heaviest is remembered as well.
    await by_height.sign(replace(request(9, A), weight=3))
    with pytest.raises(GuardRefusal):
        await signer_over(kv, "weight", now=300).sign(replace(request(9, B), weight=10))


def test_a_change_of_the_rule_is_logged_and_stays_in_the_guard(caplog: pytest.LogCaptureFixture) -> None:
    kv = MemoryKV()
    for now, rule in enumerate(("height", "weight", "weight", "height")):
        signer_over(kv, rule, now)
    changes = (RuleChange(1, "weight"), RuleChange(3, "height"))
    assert Guard(kv.after_crash(Random(5)), KEY.address, CHAIN).rule_changes() == changes
    assert [line.rule for line in caplog.records] == ["weight", "height"]


async def test_where_branches_compete_the_weight_must_grow_and_the_height_need_not() -> None:
    kv = MemoryKV()
    signer = signer_over(kv, "weight")
    first = await signer.sign(replace(request(6, A), weight=9))
    for height, weight in [(6, 9), (7, 9), (6, 8), (7, 8)]:
        with pytest.raises(GuardRefusal, match=f"total difficulty {weight}; .*total difficulty 9"):
            await signer.sign(replace(request(height, B), weight=weight))
    assert (
        await signer_over(kv.after_crash(Random(3)), "weight").sign(replace(request(6, A), weight=9)) == first
    )
    # A heavier branch with fewer blocks.
    assert recover_address(B, await signer.sign(replace(request(5, B), weight=10))) == KEY.address


async def test_each_kind_chain_and_key_has_a_watermark_of_its_own() -> None:
    kv = MemoryKV()
    await signer_over(kv).sign(request(5, A))
    await signer_over(kv).sign(request(5, B, kind="qbft-commit"))
    await GuardedSigner(LocalKey(KEY), kv, 7).sign(replace(request(5, B), chain_id=7))
    await GuardedSigner(LocalKey(OTHER), kv, CHAIN).sign(request(5, B))
    with pytest.raises(GuardRefusal):
        await signer_over(kv).sign(request(5, B))


async def test_no_signature_leaves_when_the_record_cannot_be_written() -> None:
    kv = MemoryKV()
    signer = signer_over(kv)
    await signer.sign(request(5, A))
    kv.fail_after(0)
    with pytest.raises(StorageError):
        await signer.sign(request(6, B))
    # A restart may find the write that failed or not; either way only what left stands in the way.
    for seed in range(8):
        again = signer_over(kv.after_crash(Random(seed)))
        with pytest.raises(GuardRefusal):
            await again.sign(request(5, B))
        assert recover_address(B, await again.sign(request(6, B))) == KEY.address


async def test_a_crash_between_signature_and_record_leaves_the_height_free() -> None:
    class DiesAfterSigning:
        address = KEY.address
        is_elsewhere = False

        def sign_digest(self, asked: SigningRequest) -> bytes:
            KEY.sign(asked.digest)
            raise SystemExit  # the process is gone before the guard could write

    kv = MemoryKV()
    with pytest.raises(SystemExit):
        await GuardedSigner(DiesAfterSigning(), kv, CHAIN).sign(request(5, A))
    assert await signer_over(kv.after_crash(Random(1))).sign(request(5, B))


async def test_after_a_crash_the_attachment_and_signature_are_there_to_finish_the_block() -> None:
    kv = MemoryKV()
    signature = await signer_over(kv).sign(request(9, A))
    again = signer_over(kv.after_crash(Random(2)))
    record = again.last("vote")
    assert record == SignRecord(9, 0, A, signature, b"block")
    with pytest.raises(GuardRefusal):
        await again.sign(request(9, B))
    assert await again.sign(request(9, A)) == signature


async def test_concurrent_requests_for_one_height_give_one_signature() -> None:
    signer = signer_over(MemoryKV())
    given, refused = [], []

    async def ask(digest: Hash32) -> None:
        try:
            given.append((digest, await signer.sign(request(5, digest))))
        except GuardRefusal as refusal:
            refused.append(refusal)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(ask, keccak256(bytes([number])))
    assert (len(given), len(refused)) == (1, 7)


@pytest.mark.parametrize(
    "wrong", [b"\0" * 65, b"\xff" * 64, OTHER.sign(A)], ids=["zeros", "too short", "another key"]
)
async def test_a_key_that_errs_is_found_out_and_nothing_is_recorded(wrong: bytes) -> None:
    class Errs:
        address: Address = KEY.address
        is_elsewhere = False

        def sign_digest(self, asked: SigningRequest) -> bytes:
            return wrong

    key: DigestSigner = Errs()
    kv = MemoryKV()
    with pytest.raises(SigningError):
        await GuardedSigner(key, kv, CHAIN).sign(request(5, A))
    assert signer_over(kv).last("vote") is None


async def test_of_a_clique_header_the_guard_makes_the_digest_itself() -> None:
    signer = signer_over(MemoryKV())
    header = header_at(5)
    honest = replace(request(5, seal_hash(header), kind="clique-header"), header=header, weight=10)
    assert recover_address(seal_hash(header), await signer.sign(honest)) == KEY.address
    for wrong, words in [
        (replace(honest, chain_id=7), "chain 7"),
        (replace(honest, height=6), "height 6 for the header of block 5"),
        (replace(honest, height=6, header=header_at(6)), "is not that of the header"),
        (replace(honest, height=6, header=None), "without its header"),
    ]:
        with pytest.raises(InconsistentRequest, match=words):
            await signer.sign(wrong)
    assert signer.last("clique-header").height == 5
    with pytest.raises(InconsistentRequest, match="without its weight"):
        await signer_over(MemoryKV(), "weight").sign(replace(honest, weight=None))


async def test_a_damaged_row_stops_the_node_and_is_never_guessed_at() -> None:
    kv = MemoryKV()
    batch = Batch()
    batch.put(sign_record_key(KEY.address, CHAIN, "vote"), b"\xc0")
    kv.write(batch, sync=True)
    with pytest.raises(StorageError, match="damaged"):
        await signer_over(kv).sign(request(5, A))


class Elsewhere:
    """A key in another process: asked, it signs; its answers may be lost, or it may say no for ever."""

    address: Address = KEY.address
    is_elsewhere = True

    def __init__(self) -> None:
        self.asked: list[Hash32] = []
        self.trouble: SigningError | None = None

    def sign_digest(self, asked: SigningRequest) -> bytes:
        self.asked.append(asked.digest)
        if self.trouble is not None:
            raise self.trouble
        return KEY.sign(asked.digest)


async def test_after_a_lost_answer_the_same_is_asked_again_and_only_that() -> None:
    key, kv = Elsewhere(), MemoryKV()
    key.trouble = SigningError("no answer in time")
    with pytest.raises(SigningError, match="in time"):
        await GuardedSigner(key, kv, CHAIN).sign(request(5, A))
    again = GuardedSigner(key, kv.after_crash(Random(0)), CHAIN)
    with pytest.raises(SigningError, match="may have signed it; nothing else is asked"):
        await again.sign(request(5, B))
    key.trouble = None
    with pytest.raises(GuardRefusal):
        await again.sign(request(5, B))
    assert key.asked == [A, A, A]
    assert again.last("vote") == SignRecord(5, 0, A, KEY.sign(A), b"block")
    await again.sign(request(6, B))


async def test_what_lies_above_an_unanswered_question_may_be_asked() -> None:
    key, kv = Elsewhere(), MemoryKV()
    signer = GuardedSigner(key, kv, CHAIN)
    key.trouble = SigningError("no answer in time")
    for digest in (A, A):
        with pytest.raises(SigningError):
            await signer.sign(request(5, digest))
    key.trouble = None
    await signer.sign(request(6, B))
    assert key.asked == [A, A, B]


async def test_the_refusal_of_the_signers_guard_sets_a_height_free() -> None:
    key, kv = Elsewhere(), MemoryKV()
    signer = GuardedSigner(key, kv, CHAIN)
    key.trouble = RefusedElsewhere("already signed something else")
    with pytest.raises(RefusedElsewhere):
        await signer.sign(request(5, A))
    key.trouble = None
    await signer.sign(request(5, B))
    assert key.asked == [A, B]
