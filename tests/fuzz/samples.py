"""One valid payload of every message: where damage starts from."""

from typing import Final

from node.primitives import rlp

LEGACY_TX = rlp.encode([1, 2, 21000, bytes(20), 3, b"data", 2709, 1, 1])
FEE_TX = b"\x02" + rlp.encode([1337, 1, 2, 3, 21000, b"", 4, b"d", [[bytes(20), [bytes(32)]]], 1, 1, 1])
HEADER = rlp.encode(
    [
        *[bytes(32)] * 2,
        bytes(20),
        *[bytes(32)] * 3,
        bytes(256),
        2,
        5,
        6,
        7,
        8,
        b"x" * 97,
        bytes(32),
        bytes(8),
        9,
    ]
)
TXS = rlp.encode_list((LEGACY_TX, rlp.encode_bytes(FEE_TX)))
BODY = rlp.encode_list((TXS, rlp.encode_list((HEADER,))))
LOGS = [[bytes(20), [bytes(32)] * 4, b"log"]]
RECEIPTS = rlp.encode([[1, 21000, bytes(256), LOGS], b"\x02" + rlp.encode([0, 42000, bytes(256), LOGS])])


def answer(contents: bytes) -> bytes:
    """A response to request 7 that carries one encoded item."""
    return rlp.encode_list((b"\x07", rlp.encode_list((contents,))))


SAMPLES: Final = {
    0x01: rlp.encode([[bytes(32), 7]]),
    0x02: TXS,
    0x03: rlp.encode([7, [bytes(32), 1, 0, 1]]),
    0x04: answer(HEADER),
    0x05: rlp.encode([7, [bytes(32)]]),
    0x06: answer(BODY),
    0x07: rlp.encode_list((rlp.encode_list((HEADER, TXS, rlp.encode_list((HEADER,)))), b"\x05")),
    0x08: rlp.encode([b"\x02", [77], [bytes(32)]]),
    0x09: rlp.encode([7, [bytes(32)]]),
    0x0A: rlp.encode_list((b"\x07", TXS)),
    0x0F: rlp.encode([7, [bytes(32)]]),
    0x10: answer(RECEIPTS),
}
"""eth/68 message id -> payload."""
HELLO: Final = rlp.encode([5, b"client", [[b"eth", 68], [b"istanbul", 100]], 30303, bytes(64)])
STATUS: Final = rlp.encode([68, 1337, 1, bytes(32), bytes(32), [bytes(4), 0]])
