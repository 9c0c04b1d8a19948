"""Strict RLP (Yellow Paper, appendix B): one encoding per value; every other one is refused.

A decoded item is bytes or a list of items. Integers are big-endian bytes without leading zeros.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from node.native import kernel_or, kernels
from node.primitives.errors import ChainError

Item: TypeAlias = "bytes | list[Item]"
Encodable: TypeAlias = "bytes | int | Sequence[Encodable]"

DEPTH_MAX: Final = 64
"""Deepest nesting that is decoded; nothing in Ethereum nests deeper than ten lists."""

LISTS_MAX: Final = 1 << 20
"""Most lists in one item: an empty list is one byte on the wire and eighty in memory."""
WORD_BYTES: Final = 32
_LIST: Final = 0xC0
"""The lowest first byte of a list."""
_WORD_HEAD: Final = b"\xa0"
"""How a string of so many bytes begins when it is encoded."""


class RlpError(ChainError):
    """Bytes that are not the one canonical encoding of what was expected."""


# --- encoding


def encode_in_python(value: Encodable) -> bytes:
    """See `encode`."""
    if value.__class__ is bytes:
        return encode_bytes(value)
    if isinstance(value, int):
        return encode_uint(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return encode_bytes(bytes(value))
    return encode_list(map(encode_in_python, value))


if TYPE_CHECKING or kernels is None:

    def encode(value: Encodable) -> bytes:
        """Canonical encoding of bytes, a non-negative integer, or a sequence of these."""
        return encode_in_python(value)

else:
    encode = kernels.rlp_encode


def encode_bytes(value: bytes) -> bytes:
    """A byte string with its prefix."""
    size = len(value)
    if size == 1 and value[0] < 0x80:
        return value
    if size < 56:
        return bytes((0x80 + size,)) + value
    width = size.to_bytes((size.bit_length() + 7) >> 3, "big")
    return bytes((0xB7 + len(width),)) + width + value


def encode_uint(value: int) -> bytes:
    """A non-negative integer; OverflowError for a negative one."""
    if value == 0:
        return b"\x80"
    if 0 < value < 0x80:
        return bytes((value,))
    return encode_bytes(value.to_bytes((value.bit_length() + 7) >> 3, "big"))


def encode_list(encoded_items: Iterable[bytes]) -> bytes:
    """A list whose items are encoded already."""
    payload = b"".join(encoded_items)
    size = len(payload)
    if size < 56:
        return bytes((0xC0 + size,)) + payload
    width = size.to_bytes((size.bit_length() + 7) >> 3, "big")
    return bytes((0xF7 + len(width),)) + width + payload


def encode_envelopes_in_python(envelopes: Iterable[bytes]) -> bytes:
    """See `encode_envelopes`."""
    return encode_list(each if each and each[0] >= _LIST else encode_bytes(each) for each in envelopes)


encode_envelopes: Callable[[Iterable[bytes]], bytes] = kernel_or(encode_envelopes_in_python, "rlp_envelopes")
"""A list of EIP-2718 envelopes: typed ones are strings in it, the legacy form is a list already."""


# --- decoding


def decode(data: bytes) -> Item:
    """The one item that `data` encodes, whole; RlpError for anything else."""
    if kernels is not None:
        try:
            item: Item = kernels.rlp_decode(data, DEPTH_MAX, LISTS_MAX)
            return item
        except ValueError:
            pass  # the Python form finds the words
    return decode_in_python(data)


def decode_in_python(data: bytes) -> Item:
    """See `decode`."""
    items = _decode_run(data, 0, len(data), 0, [LISTS_MAX])
    if len(items) != 1:
        raise RlpError(f"{len(items)} items where one is expected")
    return items[0]


def split_list(data: bytes, count_max: int | None = None) -> list[bytes]:
    """The items of the list that `data` encodes, each still encoded (not checked inside).

    For callers that hash or forward an item as it came: nothing is encoded again. With `count_max`, a list
    of more items is refused at the first one too many.
    """
    if kernels is not None:
        try:
            split: list[bytes] = kernels.rlp_split(data, -1 if count_max is None else count_max)
            return split
        except ValueError:
            pass  # the Python form finds the words
    return split_list_in_python(data, count_max)


def split_list_in_python(data: bytes, count_max: int | None = None) -> list[bytes]:
    """See `split_list`."""
    start, end, is_list = item_bounds(data, 0, len(data))
    if not is_list or end != len(data):
        raise RlpError("expected exactly one list")
    items: list[bytes] = []
    while start < end:
        if len(items) == count_max:
            raise RlpError(f"a list of more than {count_max} items")
        _, stop, _ = item_bounds(data, start, end)
        items.append(data[start:stop])
        start = stop
    return items


def split_words(data: bytes, count_max: int) -> list[bytes]:
    """The items of a list of 32-byte strings, as hashes are; RlpError for another list.

    One that is as it should be is looked at as a whole, all others item by item.
    """
    start, end, is_list = item_bounds(data, 0, len(data))
    step = 1 + WORD_BYTES
    count, rest = divmod(end - start, step)
    is_plain = is_list and end == len(data) and not rest and data[start:end:step] == _WORD_HEAD * count
    if not is_plain or count > count_max:
        return [as_bytes(decode(item), WORD_BYTES) for item in split_list(data, count_max)]
    return [data[place : place + WORD_BYTES] for place in range(start + 1, end, step)]


def item_bounds(data: bytes, position: int, limit: int) -> tuple[int, int, bool]:
    """Where the payload of the item at `position` starts and ends, and whether it is a list."""
    if position >= limit:
        raise RlpError("input ends where an item is expected")
    prefix = data[position]
    if prefix < 0x80:
        return position, position + 1, False
    if prefix < 0xB8:
        start, size = position + 1, prefix - 0x80
        if size == 1 and start < limit and data[start] < 0x80:
            raise RlpError("a single byte below 0x80 is its own encoding")
    elif prefix < 0xC0:
        start, size = _long_size(data, position, prefix - 0xB7, limit)
    elif prefix < 0xF8:
        start, size = position + 1, prefix - 0xC0
    else:
        start, size = _long_size(data, position, prefix - 0xF7, limit)
    if start + size > limit:
        raise RlpError(f"an item of {size} bytes does not fit into the {limit - start} that are left")
    return start, start + size, prefix >= 0xC0


def _long_size(data: bytes, position: int, width: int, limit: int) -> tuple[int, int]:
    start = position + 1 + width
    if start > limit:
        raise RlpError("input ends inside a length")
    size = int.from_bytes(data[position + 1 : start], "big")
    if data[position + 1] == 0 or size < 56:
        raise RlpError("a length that is not in its shortest form")
    return start, size


def _decode_run(data: bytes, position: int, end: int, depth: int, lists_left: list[int]) -> list[Item]:
    """`lists_left` is one number, shared by the whole decoding: how many more lists may be opened."""
    lists_left[0] -= 1
    if depth > DEPTH_MAX or lists_left[0] < 0:
        raise RlpError(f"lists nested deeper than {DEPTH_MAX}, or more than {LISTS_MAX} of them")
    items: list[Item] = []
    while position < end:
        # The short forms are decoded in place: they are nearly all of what a block holds.
        prefix = data[position]
        if prefix < 0x80:
            items.append(data[position : position + 1])
            position += 1
            continue
        if prefix < 0xB8 and prefix != 0x81:
            stop = position + prefix - 0x7F
            if stop > end:
                raise RlpError("an item does not fit into its list")
            items.append(data[position + 1 : stop])
        else:
            start, stop, is_list = item_bounds(data, position, end)
            items.append(
                _decode_run(data, start, stop, depth + 1, lists_left) if is_list else data[start:stop]
            )
        position = stop
    return items


# --- reading decoded items as what they must be


def as_list(item: Item, count: int | None = None) -> list[Item]:
    """The item as a list, of exactly `count` items when given."""
    if not isinstance(item, list):
        raise RlpError("bytes where a list is expected")
    if count is not None and len(item) != count:
        raise RlpError(f"a list of {len(item)} items where {count} are expected")
    return item


def as_bytes(item: Item, size: int | None = None) -> bytes:
    """The item as bytes, of exactly `size` when given."""
    if isinstance(item, list):
        raise RlpError("a list where bytes are expected")
    if size is not None and len(item) != size:
        raise RlpError(f"{len(item)} bytes where {size} are expected")
    return item


def as_uint(item: Item, bits: int = 256) -> int:
    """The item as an integer below 2**bits without leading zero bytes."""
    if isinstance(item, list):
        raise RlpError("a list where an integer is expected")
    if not item:
        return 0
    if item[0] == 0:
        raise RlpError("an integer with a leading zero byte")
    if len(item) * 8 > bits:
        raise RlpError(f"an integer of {len(item)} bytes where at most {bits // 8} are allowed")
    return int.from_bytes(item, "big")
