"""The extension in C. Wrong lengths are ValueError; arguments are bytes-like."""

def keccak256(data: bytes, /) -> bytes:
    """Keccak-256."""

def blake2_rounds(state: bytes, message: bytes, first: int, count: int, /) -> bytes:
    """`count` rounds of BLAKE2b from number `first` on; 128 bytes each, words lowest byte first."""

def bind_secp256k1(context: int, parse: int, recover: int, serialize: int, /) -> None:
    """Take the addresses of libsecp256k1's context and functions; once, before `recover_addresses`."""

def recover_addresses(digests: bytes, signatures: bytes, /) -> list[bytes | None]:
    """Signers of digests of 32 bytes by signatures of 65 (r, s, y parity); None where there is none."""

def bn128_add(points: bytes, /) -> bytes | None:
    """The sum of two points of 64 bytes; None when one is no point."""

def bn128_multiply(point_and_factor: bytes, /) -> bytes | None:
    """The multiple of a point; None when it is none."""

def bn128_pair(pair: bytes, product: bytes, /) -> bytes | None:
    """A product of pairings (b"" for one) times that of 192 bytes; None when they are no points."""

def bn128_is_one(product: bytes, /) -> bool:
    """Whether a product of pairings is one."""
