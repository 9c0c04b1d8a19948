"""The public half of a token's key, kept beside the guard: a node, or a signer, whose token is away or
refuses its PIN knows whose key that is, and goes on with all else.

    {"module": ..., "token": ..., "key": ..., "publicKey": "0x..."}

The token's word counts whenever it can be asked: the file is written anew at every start that finds it.
"""

import json
from pathlib import Path
from typing import Final

from node.primitives.ids import hex_of
from node.signing.pkcs11 import TokenKeyName
from node.signing.rotation import replace_file

PUBLIC_KEY_BYTES: Final = 64


def remember(path: Path, name: TokenKeyName, public_key: bytes) -> None:
    """Keep it, on the disk on return."""
    if recall(path, name) != public_key:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(_named(name) | {"publicKey": hex_of(public_key)}) + "\n")


def recall(path: Path, name: TokenKeyName) -> bytes | None:
    """What was kept of this very key; None when nothing was, or it cannot be read."""
    try:
        fields = json.loads(path.read_text())
        public_key = bytes.fromhex(fields.pop("publicKey").removeprefix("0x"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return public_key if fields == _named(name) and len(public_key) == PUBLIC_KEY_BYTES else None


def _named(name: TokenKeyName) -> dict[str, str]:
    return {"module": str(name.module), "token": name.token, "key": name.key}
