"""A file proves itself, and every kind of alteration is refused with its cause, whoever signed it."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from consensus.clique.extra_data import seal_hash, sealed
from consensus.validators import validators_of
from node.archive.era1 import EraBlock, EraEncoder, EraFile
from node.archive.errors import BadFile
from node.archive.files import ArchivedFile, breaks, find_archived, open_archived
from node.archive.manifest import Manifest, decode_manifest, encode_manifest, sign_manifest
from node.archive.verify import Link, Verified, verify_file
from node.primitives import rlp
from node.primitives.block import Header, decode_header, encode_body, encode_header
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import Hash32
from node.primitives.receipt import decode_receipt_item, encode_receipt_list
from tests.archive.world import OPERATOR, World
from tests.chain.harness import KEYS

STRANGER = PrivateKey(keccak256(b"a stranger"))


@pytest.fixture(scope="module")
def world() -> World:
    return World(40)


@pytest.fixture(scope="module")
def files(world: World, tmp_path_factory: pytest.TempPathFactory) -> list[ArchivedFile]:
    return world.export(tmp_path_factory.mktemp("archive"))


def proved(world: World, files: list[ArchivedFile]) -> list[Verified]:
    found: list[Verified] = []
    for file in files:
        before = found[-1].link if found else None
        found.append(verify_file(file.manifest, file.content(), spec=world.spec, before=before))
    return found


def test_files_hold_every_block_of_the_chain(world: World, files: list[ArchivedFile]) -> None:
    assert [(f.manifest.first.number, f.manifest.last.number) for f in files] == [(0, 15), (16, 31), (32, 40)]
    hashes = [block_hash for each in proved(world, files) for block_hash in each.hashes]
    assert hashes == [world.reader.canonical_hash(number) for number in range(41)]
    assert sum(f.manifest.transactions for f in files) == sum(
        len(world.reader.block_by_number(n).transactions) for n in range(41)
    )


def test_a_file_is_proved_alone_too(world: World, files: list[ArchivedFile]) -> None:
    for file in files:
        alone = verify_file(file.manifest, file.content())
        assert alone.manifest.last.hash == world.reader.canonical_hash(file.manifest.last.number)


def test_two_archives_of_one_chain_write_the_same_bytes(
    world: World, files: list[ArchivedFile], tmp_path: Path
) -> None:
    again = world.export(tmp_path)
    assert [f.manifest for f in again] == [f.manifest for f in files]
    assert [f.path.read_bytes() for f in again] == [f.path.read_bytes() for f in files]


def test_progress_tells_of_every_block(files: list[ArchivedFile]) -> None:
    told: list[tuple[int, int]] = []
    verify_file(
        files[0].manifest, files[0].content(), progress=lambda done, total: told.append((done, total))
    )
    assert told == [(n, 16) for n in range(1, 17)]


# --- what is signed


def test_one_changed_byte_anywhere_is_refused_by_the_checksum(files: list[ArchivedFile]) -> None:
    content = bytearray(files[1].path.read_bytes())
    for place in range(0, len(content), 97):
        content[place] ^= 0x01
        with pytest.raises(BadFile, match=r"has SHA-256 .*, where its manifest says"):
            verify_file(files[1].manifest, memoryview(bytes(content)))
        content[place] ^= 0x01
    with pytest.raises(BadFile, match=r"has \d+ bytes, where its manifest says"):
        verify_file(files[1].manifest, memoryview(bytes(content[:-1])))


def members(file: ArchivedFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.manifest_path.read_bytes())
    return found


def altered(value: Any) -> Any:
    if isinstance(value, dict):
        return value | {"number": value["number"] + 1, "hash": "0x" + "11" * 32}
    if isinstance(value, int):
        return value + 1
    return value[:-1] + ("0" if value[-1] != "0" else "1")


def test_a_manifest_with_any_member_altered_is_refused(files: list[ArchivedFile]) -> None:
    for name, value in members(files[1]).items():
        document = json.dumps(members(files[1]) | {name: altered(value)}).encode()
        with pytest.raises(BadFile, match="manifest"):
            decode_manifest(document)
        with pytest.raises(BadFile, match="manifest"):
            decode_manifest(json.dumps({k: v for k, v in members(files[1]).items() if k != name}).encode())


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b'{"format": 1}', b"[" * 100_000, bytes(2 << 20)])
def test_what_is_no_manifest_is_refused(document: bytes) -> None:
    with pytest.raises(BadFile):
        decode_manifest(document)


def test_a_manifest_signed_by_another_key_names_that_key(files: list[ArchivedFile]) -> None:
    assert decode_manifest(encode_manifest(files[0].signed)).signer == OPERATOR.address
    stolen = sign_manifest(files[0].manifest, STRANGER)
    assert decode_manifest(encode_manifest(stolen)).signer == STRANGER.address
    with pytest.raises(BadFile, match="altered, or not signed by"):
        decode_manifest(encode_manifest(dataclasses.replace(stolen, signer=OPERATOR.address)))


def test_a_file_without_its_manifest_or_under_another_name_is_refused(
    files: list[ArchivedFile], tmp_path: Path
) -> None:
    moved = tmp_path / "chain1337-00009-00000000.era1"
    moved.write_bytes(files[0].path.read_bytes())
    with pytest.raises(BadFile, match=r"No such file.*says what chain1337-00009"):
        open_archived(moved)
    moved.with_suffix(".json").write_bytes(files[0].manifest_path.read_bytes())
    with pytest.raises(BadFile, match="describes chain1337-00000"):
        open_archived(moved)


# --- what is altered by somebody who signs it anew


def rebuilt(
    file: ArchivedFile,
    change: Callable[[int, EraBlock], EraBlock],
    **claims: Any,
) -> tuple[Manifest, memoryview]:
    """The file with changed blocks, its hashes, accumulator, index and manifest made anew to fit."""
    encoder = EraEncoder(file.manifest.first.number)
    pieces = [encoder.start()]
    stored = [change(place, block) for place, block in enumerate(EraFile(file.content()).blocks())]
    pieces += [encoder.add(keccak256(block.header), block) for block in stored]
    end, root = encoder.finish()
    content = b"".join([*pieces, end])
    last = decode_header(stored[-1].header)
    made = dataclasses.replace(
        file.manifest,
        accumulator=root,
        size_bytes=len(content),
        sha256=Hash32(sha256(content).digest()),
        last=last.ref,
        state_root=last.state_root,
    )
    return dataclasses.replace(made, **claims), memoryview(content)


def at(place: int, **changes: Callable[[Any], Any]) -> Callable[[int, EraBlock], EraBlock]:
    def change(here: int, block: EraBlock) -> EraBlock:
        if here != place:
            return block
        return dataclasses.replace(block, **{k: f(getattr(block, k)) for k, f in changes.items()})

    return change


def with_header(edit: Callable[[Header], Header]) -> Callable[[bytes], bytes]:
    def change(encoded: bytes) -> bytes:
        return encode_header(edit(decode_header(encoded)))

    return change


def resealed(**fields: Any) -> Callable[[bytes], bytes]:
    """A header changed and sealed by a signer whose turn may not have come."""

    def edit(header: Header) -> Header:
        changed = dataclasses.replace(header, **fields)
        return sealed(changed, KEYS[0].sign(seal_hash(changed)))

    return with_header(edit)


def without_last(items: bytes) -> bytes:
    return rlp.encode_list(rlp.split_list(items)[:-1])


def body_without_last(body: bytes) -> bytes:
    transactions, ommers = rlp.split_list(body)
    return rlp.encode_list([without_last(transactions), ommers])


def failed_receipt(items: bytes) -> bytes:
    receipts = [decode_receipt_item(item) for item in rlp.split_list(items)]
    changed = [dataclasses.replace(receipts[0], outcome=0), *receipts[1:]]
    return encode_receipt_list(changed)


def test_rebuilding_without_a_change_is_the_same_file(files: list[ArchivedFile]) -> None:
    manifest, content = rebuilt(files[1], at(-1))
    assert manifest == files[1].manifest
    assert bytes(content) == files[1].path.read_bytes()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (at(4, body=body_without_last), r"block #20: its transactions have root 0x\w+, its header says"),
        (at(4, receipts=without_last), r"block #20: its receipts have root 0x\w+, its header says"),
        (at(4, receipts=failed_receipt), r"block #20: its receipts have root"),
        (at(4, body=lambda _: b"\xc0"), "block #20: a block cannot be read: a body of 0 parts"),
        (at(4, header=lambda h: h[:-1]), "block #20: a block cannot be read"),
        (at(4, receipts=lambda _: b"\xc1\x80"), "block #20: a block cannot be read"),
        (at(4, total_difficulty=lambda d: d + 1), "block #20: total difficulty .*, where the blocks before"),
        (at(4, header=with_header(lambda h: dataclasses.replace(h, timestamp=h.timestamp + 1))), "block #20"),
        (at(4, header=with_header(lambda h: dataclasses.replace(h, number=7))), "its header has number 7"),
        (at(4, header=resealed(state_root=bytes(32))), "block #20"),
        (at(15, header=resealed(state_root=bytes(32))), "block #31"),
        (
            at(0, header=resealed(parent_hash=bytes(32))),
            r"block #16: its parent is 0x0+, but",
        ),
    ],
)
def test_changed_blocks_are_refused_although_everything_is_signed_anew(
    world: World, files: list[ArchivedFile], change: Callable, cause: str
) -> None:
    manifest, content = rebuilt(files[1], change)
    before = proved(world, files[:1])[0].link
    with pytest.raises(BadFile, match=cause):
        verify_file(manifest, content, spec=world.spec, before=before)


def test_a_block_sealed_by_nobody_authorised_is_refused(world: World, files: list[ArchivedFile]) -> None:
    def edit(header: Header) -> Header:
        return sealed(header, STRANGER.sign(seal_hash(header)))

    manifest, content = rebuilt(files[1], at(15, header=with_header(edit)))
    with pytest.raises(BadFile, match=f"block #31: .*{STRANGER.address.hex()}"):
        verify_file(manifest, content)


def test_the_rules_of_the_genesis_file_are_held_to(world: World, files: list[ArchivedFile]) -> None:
    """An authorised signer's own block with a gas limit that no node takes."""

    def edit(header: Header) -> Header:
        changed = dataclasses.replace(header, gas_limit=header.gas_limit * 2)
        author = world.reader.author_of(header)
        return sealed(changed, next(k for k in KEYS if k.address == author).sign(seal_hash(changed)))

    manifest, content = rebuilt(files[1], at(15, header=with_header(edit)))
    verify_file(manifest, content)  # seals and roots hold
    with pytest.raises(BadFile, match="block #31: gas limit"):
        verify_file(manifest, content, spec=world.spec)


@pytest.mark.parametrize(
    ("claim", "cause"),
    [
        ({"accumulator": Hash32(bytes(32))}, "says accumulator 0x00"),
        ({"transactions": 1}, "says transactions 1, but the file holds"),
        ({"state_root": Hash32(bytes(32))}, "says state root"),
        ({"total_difficulty": 7}, "says total difficulty 7"),
        ({"period_s": 3}, "block #16: timestamp .* is 1 s before the slot"),
        ({"epoch_blocks": 17}, "block #17|block #24"),
    ],
)
def test_claims_that_the_file_does_not_bear_out_are_refused(
    files: list[ArchivedFile], claim: dict[str, Any], cause: str
) -> None:
    with pytest.raises(BadFile, match=cause):
        verify_file(dataclasses.replace(files[1].manifest, **claim), files[1].content())


def test_a_forged_first_or_last_block_is_refused(files: list[ArchivedFile]) -> None:
    manifest = files[1].manifest
    for name in ("first", "last"):
        forged = getattr(manifest, name)._replace(hash=Hash32(bytes(32)))
        with pytest.raises(BadFile, match=f"says {name} block"):
            verify_file(dataclasses.replace(manifest, **{name: forged}), files[1].content())


def test_a_forged_signer_set_is_refused(world: World, files: list[ArchivedFile]) -> None:
    """The manifest's Clique state is held to what the file before ends with, and the seals to it."""
    state = files[1].manifest.clique
    forged = dataclasses.replace(files[1].manifest, clique=dataclasses.replace(state, recents=()))
    with pytest.raises(BadFile, match="not the one that the file before it ends with"):
        verify_file(forged, files[1].content(), before=proved(world, files[:1])[0].link)
    few = dataclasses.replace(state, signers=validators_of([KEYS[5].address]), recents=())
    with pytest.raises(BadFile, match="block #16"):
        verify_file(dataclasses.replace(files[1].manifest, clique=few), files[1].content())


def test_a_file_that_does_not_follow_is_refused(world: World, files: list[ArchivedFile]) -> None:
    first = proved(world, files[:1])[0].link
    with pytest.raises(BadFile, match="does not follow #15"):
        verify_file(files[2].manifest, files[2].content(), before=first)
    assert list(breaks([files[0], files[2]])) == [
        f"blocks #16 to #31 are missing between {files[0].path.name} and {files[2].path.name}"
    ]
    assert list(breaks(files)) == []


def test_another_genesis_is_refused(world: World, files: list[ArchivedFile]) -> None:
    manifest = dataclasses.replace(files[0].manifest, genesis=Hash32(bytes(32)))
    with pytest.raises(BadFile, match=r"block #0: hash .*, where the chain begins with 0x00"):
        verify_file(manifest, files[0].content())


def test_files_are_found_by_directory_file_or_manifest(files: list[ArchivedFile], tmp_path: Path) -> None:
    folder = files[0].path.parent
    assert find_archived([folder]) == files
    assert find_archived([files[2].path, files[0].manifest_path]) == [files[0], files[2]]
    with pytest.raises(BadFile, match="no archived file"):
        find_archived([tmp_path])


def test_the_link_of_a_file_is_where_the_next_one_begins(world: World, files: list[ArchivedFile]) -> None:
    links: Iterator[Link] = (each.link for each in proved(world, files))
    for link, file in zip(links, files[1:], strict=False):
        assert (link.header, link.clique) == (file.manifest.parent, file.manifest.clique)


def test_bodies_are_encoded_as_they_were(world: World, files: list[ArchivedFile]) -> None:
    for place, stored in enumerate(EraFile(files[0].content()).blocks()):
        block = world.reader.block_by_number(place)
        assert (stored.header, stored.body) == (encode_header(block.header), encode_body(block.body))
