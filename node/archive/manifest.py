"""What an archived file holds, signed: a JSON document beside the file.

The signature is over keccak256 of a fixed line and the canonical JSON of all other members, by the archive
node's key or an operator's. It says who vouches for the file; what the file says is proved apart from it
(`verify`). Two members let a file be checked alone: the header before the first block, whose hash the first
block names, and what Clique knew after it (signers, recents, votes).
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from consensus.clique.snapshot import CliqueSnapshot, decode_snapshot, encode_snapshot
from node.archive.errors import BadFile
from node.primitives.block import BlockRef, Header, decode_header, encode_header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.crypto import PrivateKey, keccak256, recover_address
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32, hex_of

FORMAT: Final = "phoenix-archive-1"
MANIFEST_BYTES_MAX: Final = 1 << 20
DOMAIN: Final = b"phoenix archive manifest\n"
"""Put before what is signed, so that no other message of the same key can be taken for a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One file."""

    file: str
    """Its name."""
    size_bytes: int
    sha256: Hash32
    chain_id: int
    genesis: Hash32
    first: BlockRef
    last: BlockRef
    state_root: Hash32
    """After the last block."""
    total_difficulty: int
    """Of the last block and all before it."""
    transactions: int
    accumulator: Hash32
    period_s: int
    """Clique's, which the seals' times are held to."""
    epoch_blocks: int
    parent: Header | None
    """The header before the first block; None when that is block 0."""
    clique: CliqueSnapshot | None
    """What Clique knew after `parent`."""

    @property
    def blocks(self) -> int:
        """How many."""
        return self.last.number - self.first.number + 1

    @property
    def engine(self) -> CliqueSpec:
        """The rules of its seals."""
        return CliqueSpec(self.period_s, self.epoch_blocks)

    @property
    def digest(self) -> Hash32:
        """What is signed."""
        return keccak256(DOMAIN + json.dumps(_members(self), sort_keys=True, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest and who vouches for it."""

    manifest: Manifest
    signer: Address
    signature: bytes


def sign_manifest(manifest: Manifest, key: PrivateKey) -> SignedManifest:
    """Vouch for a file."""
    return SignedManifest(manifest, key.address, key.sign(manifest.digest))


def encode_manifest(signed: SignedManifest) -> bytes:
    """The document."""
    members = _members(signed.manifest) | {
        "signer": hex_of(signed.signer),
        "signature": hex_of(signed.signature),
    }
    return json.dumps(members, indent=2).encode() + b"\n"


def decode_manifest(document: bytes) -> SignedManifest:
    """Inverse of encode_manifest, once the signature is that of the signer it names; BadFile."""
    if len(document) > MANIFEST_BYTES_MAX:
        raise BadFile(f"the manifest has {len(document)} bytes; at most {MANIFEST_BYTES_MAX}")
    try:
        members = json.loads(document)
        if not isinstance(members, dict) or members.get("format") != FORMAT:
            raise BadFile(f"the manifest is not of format {FORMAT}")
        manifest = _manifest(members)
        signature, signer = _bytes(members, "signature", 65), Address(_bytes(members, "signer", 20))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadFile(f"the manifest cannot be read: {type(error).__name__}: {error}") from error
    try:
        found = recover_address(manifest.digest, signature)
    except ChainError as error:
        raise BadFile(f"the manifest's signature is none: {error}") from error
    if found != signer:
        raise BadFile(
            f"the manifest was altered, or not signed by {hex_of(signer)}, whom it names: its signature is "
            f"that of {hex_of(found)}"
        )
    return SignedManifest(manifest, signer, signature)


def _members(manifest: Manifest) -> dict[str, Any]:
    """All that is signed."""
    return {
        "format": FORMAT,
        "file": manifest.file,
        "size_bytes": manifest.size_bytes,
        "sha256": manifest.sha256.hex(),
        "chain_id": manifest.chain_id,
        "genesis": hex_of(manifest.genesis),
        "first": {"number": manifest.first.number, "hash": hex_of(manifest.first.hash)},
        "last": {"number": manifest.last.number, "hash": hex_of(manifest.last.hash)},
        "state_root": hex_of(manifest.state_root),
        # As text: JSON readers elsewhere round large numbers.
        "total_difficulty": str(manifest.total_difficulty),
        "transactions": manifest.transactions,
        "accumulator": hex_of(manifest.accumulator),
        "clique_period_s": manifest.period_s,
        "clique_epoch_blocks": manifest.epoch_blocks,
        "parent_header": None if manifest.parent is None else hex_of(encode_header(manifest.parent)),
        "clique_state": None if manifest.clique is None else hex_of(encode_snapshot(manifest.clique)),
    }


def _manifest(members: dict[str, Any]) -> Manifest:
    try:
        parent, clique = _optional(members, "parent_header"), _optional(members, "clique_state")
        manifest = Manifest(
            file=_text(members, "file"),
            size_bytes=_count(members, "size_bytes"),
            sha256=Hash32(_bytes(members, "sha256", 32)),
            chain_id=_count(members, "chain_id"),
            genesis=Hash32(_bytes(members, "genesis", 32)),
            first=_ref(members, "first"),
            last=_ref(members, "last"),
            state_root=Hash32(_bytes(members, "state_root", 32)),
            total_difficulty=int(_text(members, "total_difficulty")),
            transactions=_count(members, "transactions"),
            accumulator=Hash32(_bytes(members, "accumulator", 32)),
            period_s=_count(members, "clique_period_s"),
            epoch_blocks=_count(members, "clique_epoch_blocks"),
            parent=None if parent is None else decode_header(parent),
            clique=None if clique is None else decode_snapshot(clique),
        )
    except ChainError as error:
        raise ValueError(str(error)) from error
    if manifest.last.number < manifest.first.number or not manifest.epoch_blocks:
        raise ValueError(f"it says that it holds blocks {manifest.first} to {manifest.last}")
    if "/" in manifest.file or manifest.file.startswith("."):
        raise ValueError(f"{manifest.file[:80]!r} is no name of an archived file")
    at_genesis = manifest.first.number == 0
    if at_genesis != (manifest.parent is None) or at_genesis != (manifest.clique is None):
        raise ValueError("parent header and Clique state stand there exactly when block 0 is not the first")
    return manifest


def _ref(members: dict[str, Any], name: str) -> BlockRef:
    return BlockRef(_count(members[name], "number"), Hash32(_bytes(members[name], "hash", 32)))


def _optional(members: dict[str, Any], name: str) -> bytes | None:
    return None if members[name] is None else _bytes(members, name)


def _text(members: dict[str, Any], name: str) -> str:
    value = members[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _count(members: dict[str, Any], name: str) -> int:
    value = members[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError(f"{name} is no count")
    return value


def _bytes(members: dict[str, Any], name: str, size: int | None = None) -> bytes:
    value = bytes.fromhex(_text(members, name).removeprefix("0x"))
    if size is not None and len(value) != size:
        raise ValueError(f"{name} has {len(value)} bytes; {size} are expected")
    return value
