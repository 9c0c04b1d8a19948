"""What a light client trusts to begin with, as a file that an operator gives or governance signs.

A checkpoint holds the header itself and the whole state of the engine after it: signers, who signed recently,
and the votes that count, because from anything less the next headers could not be judged exactly. At an
epoch's header the state follows from the header and the few before it; at any other block it cannot be told
from headers at all, so it stands in the file.

    {"format": "phoenix-checkpoint/1", "chainId": "0x4f588", "genesis": "0x...", "number": "0x7530",
     "hash": "0x...", "header": "0x... RLP", "state": "0x... RLP", "totalDifficulty": "0xea60",
     "signatures": ["0x... 65 bytes", ...]}

Each signature is over keccak256("phoenix-checkpoint/1" ‖ RLP [chain id, genesis hash, block hash, state,
total difficulty]). Who must have signed is the operator's choice: settings light.authorities (addresses,
typically of the governors) and light.authorities_min. A file without signatures is trusted as far as whoever
put it there.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import encode_snapshot
from node.light.errors import InvalidCheckpoint
from node.light.verifier import Trusted
from node.primitives import rlp
from node.primitives.block import decode_header, encode_header
from node.primitives.crypto import InvalidSignature, PrivateKey, keccak256, recover_address
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32, hex_of

FORMAT: Final = "phoenix-checkpoint/1"
FILE_BYTES_MAX: Final = 4 << 20
SIGNATURES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trusted header with the chain it belongs to."""

    chain_id: int
    genesis_hash: Hash32
    trusted: Trusted
    signatures: tuple[bytes, ...] = ()

    @property
    def digest(self) -> Hash32:
        """What the authorities sign."""
        fields: list[rlp.Encodable] = [
            self.chain_id,
            self.genesis_hash,
            self.trusted.header.hash,
            encode_snapshot(self.trusted.state),
            self.trusted.total_difficulty,
        ]
        return keccak256(FORMAT.encode() + rlp.encode(fields))

    def signed_by(self) -> frozenset[Address]:
        """Whose signatures it carries; InvalidCheckpoint for one that is none."""
        try:
            return frozenset(recover_address(self.digest, each) for each in self.signatures)
        except InvalidSignature as error:
            raise InvalidCheckpoint(f"the checkpoint has a signature that is none: {error}") from error

    def signed(self, key: PrivateKey) -> "Checkpoint":
        """The same with one more signature."""
        return replace(self, signatures=(*self.signatures, key.sign(self.digest)))


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """The file's text."""
    trusted = checkpoint.trusted
    fields: dict[str, Any] = {
        "format": FORMAT,
        "chainId": hex(checkpoint.chain_id),
        "genesis": hex_of(checkpoint.genesis_hash),
        "number": hex(trusted.header.number),
        "hash": hex_of(trusted.header.hash),
        "signers": [hex_of(signer) for signer in trusted.state.signers],
        "header": hex_of(encode_header(trusted.header)),
        "state": hex_of(encode_snapshot(trusted.state)),
        "totalDifficulty": hex(trusted.total_difficulty),
        "signatures": [hex_of(each) for each in checkpoint.signatures],
    }
    return json.dumps(fields, indent=2) + "\n"


def decode_checkpoint(text: str | bytes, rules: CliqueRules) -> Checkpoint:
    """Inverse of encode_checkpoint; InvalidCheckpoint when its parts contradict each other."""
    if len(text) > FILE_BYTES_MAX:
        raise InvalidCheckpoint(f"a checkpoint of {len(text)} bytes; at most {FILE_BYTES_MAX}")
    try:
        return _decode(json.loads(text), rules)
    except (ChainError, InvalidCheckpoint):
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidCheckpoint(f"this is no checkpoint file: {type(error).__name__} {error}") from error


def _decode(fields: Any, rules: CliqueRules) -> Checkpoint:
    if fields["format"] != FORMAT:
        raise InvalidCheckpoint(f"format {str(fields['format'])[:40]!r}; this program knows {FORMAT!r}")
    header = decode_header(_bytes(fields["header"]))
    state = rules.decode_state(_bytes(fields["state"]))
    if hex_of(header.hash) != fields["hash"].lower() or header.number != int(fields["number"], 16):
        raise InvalidCheckpoint(f"the header is {header.ref}, the checkpoint names {fields['hash']}")
    if state.number != header.number:
        raise InvalidCheckpoint(f"the state is that of block {state.number}, the header {header.number}")
    if rules.is_checkpoint(header.number) and rules.initial(header).signers != state.signers:
        raise InvalidCheckpoint("the header lists other signers than the state")
    signatures = tuple(_bytes(each) for each in fields["signatures"])
    if len(signatures) > SIGNATURES_MAX:
        raise InvalidCheckpoint(f"{len(signatures)} signatures; at most {SIGNATURES_MAX}")
    trusted = Trusted(header, state, int(fields["totalDifficulty"], 16))
    return Checkpoint(int(fields["chainId"], 16), Hash32(_bytes(fields["genesis"])), trusted, signatures)


def verify_checkpoint(
    checkpoint: Checkpoint,
    chain_id: int,
    genesis_hash: Hash32,
    authorities: Collection[Address],
    authorities_min: int,
) -> None:
    """InvalidCheckpoint unless it is of this chain and signed by as many authorities as demanded."""
    if checkpoint.chain_id != chain_id or checkpoint.genesis_hash != genesis_hash:
        raise InvalidCheckpoint(
            f"the checkpoint is of chain {checkpoint.chain_id}, genesis {hex_of(checkpoint.genesis_hash)};"
            f" genesis.json gives chain {chain_id}, genesis {hex_of(genesis_hash)}"
        )
    signed = checkpoint.signed_by().intersection(authorities)
    if len(signed) < authorities_min:
        raise InvalidCheckpoint(
            f"the checkpoint is signed by {len(signed)} of the {len(authorities)} authorities;"
            f" {authorities_min} are demanded (settings light.authorities, light.authorities_min)"
        )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
