"""One record has one encoding, and its hash covers all of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.audit.records import (
    FACTS_MAX,
    LINE_BYTES_MAX,
    NO_RECORD,
    BadRecord,
    Kind,
    decode_record,
    encode_record,
)

facts = st.dictionaries(
    st.text(max_size=20),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=50)
    | st.lists(st.text(max_size=9), max_size=3),
    max_size=6,
)


@given(st.integers(1, 10**12), st.text(max_size=40), facts)
def test_what_is_written_is_read(number, actor, given_facts) -> None:
    line, own = encode_record(number, 1_700_000_000_000, Kind.KEY_USED, actor, given_facts, NO_RECORD)
    record = decode_record(line[:-1])
    assert (record.number, record.kind, record.hash, record.previous) == (number, "key.used", own, NO_RECORD)
    assert len(record.facts) == len(given_facts)


def test_every_byte_counts() -> None:
    line, _ = encode_record(7, 1, Kind.ROLE_CHANGED, "jwt:alice", {"role": "admin", "given": True}, NO_RECORD)
    for place in range(len(line) - 1):
        altered = bytearray(line[:-1])
        altered[place] ^= 1
        with pytest.raises(BadRecord):
            decode_record(bytes(altered))


def test_another_spelling_with_a_hash_that_fits_is_refused() -> None:
    from node.primitives.crypto import keccak256

    line, _ = encode_record(7, 1, Kind.ROLE_CHANGED, "a", {"b": 1}, NO_RECORD)
    fields = msgspec.json.decode(line)
    fields.pop("hash")
    for spelling in (
        msgspec.json.format(msgspec.json.encode(fields), indent=1).replace(b"\n", b""),
        msgspec.json.encode(dict(reversed(fields.items()))),
        msgspec.json.encode(fields | {"more": 1}),
        msgspec.json.encode(fields | {"facts": {"b": 1.5}}),
    ):
        forged = spelling[:-1] + b',"hash":"%b"}' % keccak256(spelling).hex().encode()
        with pytest.raises(BadRecord):
            decode_record(forged)


def test_what_is_too_long_is_cut_visibly() -> None:
    line, _ = encode_record(
        1, 1, Kind.NODE_STARTED, "a", {"text": "x" * 5000, "many": ["y"] * 100}, NO_RECORD
    )
    record = decode_record(line[:-1])
    assert str(record.facts["text"]).endswith("… (5000 characters)")
    assert record.facts["many"][-1] == "… and 36 more"
    huge = {f"{i}": ["z" * 1024] * 64 for i in range(FACTS_MAX + 5)}
    line, _ = encode_record(1, 1, Kind.NODE_STARTED, "a", huge, NO_RECORD)
    assert len(line) < LINE_BYTES_MAX
    assert "too_large" in decode_record(line[:-1]).facts


def test_labels_are_distinct() -> None:
    assert len({kind.label for kind in Kind}) == len(Kind)
