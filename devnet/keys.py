"""All keys of a local network, from the seed in its manifest: the same ones at every generation.

That keeps addresses and enode URLs in scripts and notebooks valid. It also makes the keys public.
"""

from node.primitives.crypto import SECP256K1_N, PrivateKey, keccak256
from node.primitives.ids import hex_of


def account_key(seed: str, number: int) -> PrivateKey:
    """The funded account at place `number`."""
    return _derive(seed, "account", str(number))


def accounts_of(seed: str, count: int) -> list[dict[str, str]]:
    """Address and private key, in hex, of each funded account."""
    keys = [account_key(seed, number) for number in range(count)]
    return [{"address": hex_of(key.address), "private_key": hex_of(key.secret_bytes())} for key in keys]


def sealing_key(seed: str, node: str) -> PrivateKey:
    """What a validator seals blocks with."""
    return _derive(seed, "seal", node)


def archiving_key(seed: str, node: str) -> PrivateKey:
    """The account that puts the hashes of an archive node's files on the chain."""
    return _derive(seed, "archive", node)


def node_key(seed: str, node: str) -> PrivateKey:
    """A node's identity on the network."""
    return _derive(seed, "node", node)


def _derive(seed: str, purpose: str, name: str) -> PrivateKey:
    digest = keccak256(f"{seed}\n{purpose}\n{name}".encode())
    # Folding 2^256 into [1, n) prefers no key that anybody could notice.
    secret = int.from_bytes(digest, "big") % (SECP256K1_N - 1) + 1
    return PrivateKey(secret.to_bytes(32, "big"))
