"""Official RLPTests: one encoding per value, and every other one refused."""

import pytest

from node.primitives import rlp
from tests.vectors import ethereum_tests, load_json


def value_of(vector):
    """A value as the vectors write it: text is Latin-1 bytes, "#..." a large number."""
    if isinstance(vector, list):
        return [value_of(item) for item in vector]
    if isinstance(vector, str):
        return int(vector[1:]) if vector.startswith("#") else vector.encode("latin-1")
    return vector


def decoded(value):
    """A value as decoding gives it back: numbers are their shortest bytes."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if isinstance(value, int):
        return value.to_bytes((value.bit_length() + 7) // 8, "big")
    return value


def vectors(name):
    """(name, value, encoding) of a file."""
    content = load_json(ethereum_tests() / "RLPTests" / name)
    encoded = {case: bytes.fromhex(each["out"].removeprefix("0x")) for case, each in content.items()}
    return [(case, each["in"], encoded[case]) for case, each in content.items()]


def test_values_have_the_encoding_that_others_give_them():
    cases = vectors("rlptest.json")
    assert len(cases) == 28
    for name, vector, encoding in cases:
        value = value_of(vector)
        assert rlp.encode(value) == encoding, name
        assert rlp.decode(encoding) == decoded(value), name


def test_encodings_that_are_none_are_refused():
    cases = vectors("invalidRLPTest.json")
    assert len(cases) == 26
    for name, _, encoding in cases:
        with pytest.raises(rlp.RlpError):
            pytest.fail(f"{name}: decoded to {rlp.decode(encoding)!r}")


def test_encodings_of_unknown_values_are_read_and_written_back():
    for name, _, encoding in vectors("RandomRLPTests/example.json"):
        assert rlp.encode(rlp.decode(encoding)) == encoding, name


@pytest.mark.parametrize("count", [0, 1, 2, 3, 300])
def test_a_list_of_words_is_split_like_any_other(count: int) -> None:
    words = [bytes([number % 256]) * rlp.WORD_BYTES for number in range(count)]
    assert rlp.split_words(rlp.encode(words), 300) == words


WORDS = [bytes(32), bytes(32)]


@pytest.mark.parametrize(
    "data",
    [
        rlp.encode([*WORDS, bytes(31)]),
        rlp.encode([*WORDS, bytes(33)]),
        rlp.encode([*WORDS, WORDS]),
        rlp.encode([*WORDS, bytes(32), bytes(32)]),
        rlp.encode(WORDS) + b"\x80",
        rlp.encode(WORDS)[:-1],
        rlp.encode(b"\xa0" + bytes(32)),
        b"",
    ],
)
def test_what_is_no_short_list_of_words_is_refused(data: bytes) -> None:
    with pytest.raises(rlp.RlpError):
        rlp.split_words(data, 3)
