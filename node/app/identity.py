"""The key by which peers know a node; it is no validator's."""

import secrets

from node.config.data_dir import node_key_path
from node.config.settings import Settings
from node.primitives.crypto import PrivateKey
from node.primitives.errors import ConfigError
from node.signing.keystore import read_secret_file, write_secret_file


def load_identity(settings: Settings) -> PrivateKey:
    """The node's key: read from its file, or made there at the first start. ConfigError when it is none."""
    path = settings.node_key or node_key_path(settings.data_dir)
    if not path.exists():
        if settings.node_key is not None:
            raise ConfigError([f"node_key: {path} does not exist"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret_file(path, secrets.token_bytes(32).hex().encode())
    try:
        return PrivateKey(bytes.fromhex(read_secret_file(path).decode().strip().removeprefix("0x")))
    except ValueError as error:
        raise ConfigError([f"node_key: {path} does not hold 32 bytes in hex: {error}"]) from error
