"""A node in a race for a key: a process of its own, with a guard of its own, that signs what it makes.

    python -m tests.signing.racer NAME FOLDER PORT FIRST LAST

For each height a header that nobody else makes; each signature is a line "height digest" on standard output.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from consensus.clique.extra_data import seal_hash
from node.config.settings import SigningSettings, StorageSettings
from node.primitives.crypto import PrivateKey
from node.primitives.ids import hex_of
from node.signing.guard import GuardedSigner
from node.signing.remote import open_remote
from node.signing.signer import LeasedElsewhere, SigningError
from node.storage.leveldb import LevelDB
from tests.signing.headers import header_at, request

KEY = PrivateKey(b"\x11" * 32)


def settings_for(folder: Path, port: int) -> SigningSettings:
    return SigningSettings(
        backend="remote",
        remote_url=f"https://127.0.0.1:{port}",
        remote_address=hex_of(KEY.address),
        remote_certificate=folder / "alice.pem",
        remote_key=folder / "alice.key",
        remote_ca=folder / "ca.pem",
    )


def race(name: str, folder: Path, port: int, first: int, last: int) -> None:
    """Go up; where another has the lease, say so once and wait for it."""
    kv = LevelDB.open(folder / f"guard-{name}", StorageSettings())
    signer = GuardedSigner(open_remote(settings_for(folder, port)), kv, 1337)
    height, stood_by = first, False
    while height <= last:
        header = replace(header_at(height), extra_data=name.encode().ljust(97, b"\0"))
        asked = replace(request(height), header=header, digest=seal_hash(header))
        try:
            signer._sign(asked)
        except LeasedElsewhere:
            if not stood_by:
                print(json.dumps({"name": name, "stands_by": height}), flush=True)
            stood_by = True
            time.sleep(0.05)
            continue
        except SigningError as error:
            print(json.dumps({"name": name, "refused": str(error)}), flush=True)
            if "already signed" not in str(error):
                time.sleep(0.05)
                continue
        else:
            print(json.dumps({"name": name, "height": height, "digest": hex_of(asked.digest)}), flush=True)
            time.sleep(0.01)  # the other has to come as far
        height += 1


if __name__ == "__main__":
    race(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:6]))
