"""Decoders against noise that is bred by coverage: `python -m tests.fuzz.guided CORPUS -runs=N -seed=S`.

The first byte chooses the decoder, the rest is its input. Ends with 0 after N inputs; anything but a value or
a ChainError ends it with the input printed. Further arguments are libFuzzer's. Needs atheris.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["p2p", "node.primitives"]):
    from node.primitives.errors import ChainError
    from node.primitives.transaction import decode_transaction
    from p2p.devp2p.hello import decode_hello, encode_hello
    from p2p.devp2p.messages import decode_disconnect, describe
    from p2p.eth.messages import ETH68, decode_message, encode_message
    from p2p.eth.status import decode_status, encode_status
    from tests.fuzz.samples import FEE_TX, HELLO, LEGACY_TX, SAMPLES, STATUS


def _eth(code: int) -> Callable[[bytes], None]:
    def decode(payload: bytes) -> None:
        assert encode_message(decode_message(code, payload)) == (code, payload), (
            "two encodings of one message"
        )

    return decode


def _status(payload: bytes) -> None:
    assert encode_status(decode_status(payload)) == payload, "two encodings of one Status"


def _hello(payload: bytes) -> None:
    encode_hello(decode_hello(payload))


def _disconnect(payload: bytes) -> None:
    describe(decode_disconnect(payload))


def _transaction(payload: bytes) -> None:
    assert decode_transaction(payload).encoded == payload


TARGETS: Final[tuple[tuple[Callable[[bytes], None], tuple[bytes, ...]], ...]] = (
    *((_eth(code), (SAMPLES[code],)) for code in sorted(ETH68.codecs)),
    (_status, (STATUS,)),
    (_hello, (HELLO,)),
    (_disconnect, (b"\xc1\x04", b"\x04")),
    (_transaction, (LEGACY_TX, FEE_TX)),
)
"""Decoders with inputs to begin with."""


def one_input(data: bytes) -> None:
    """Feed one input to the decoder that its first byte names."""
    if not data:
        return
    decode, _ = TARGETS[data[0] % len(TARGETS)]
    try:
        decode(data[1:])
    except ChainError:
        return


def main() -> None:
    """Write the first inputs into the corpus folder, then breed."""
    corpus = Path(sys.argv[1])
    for index, (_, samples) in enumerate(TARGETS):
        for number, sample in enumerate(samples):
            (corpus / f"{index}-{number}").write_bytes(bytes((index,)) + sample)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
