"""Images of rows before a block: small, and exact."""

import random
from itertools import pairwise

import pytest

from node.primitives.errors import StorageError
from node.state.before_images import (
    ROW_BYTES_MIN,
    WHOLE_ONE_IN,
    add_images_after,
    decode_image,
    encode_image,
    join_images,
    split_images,
    tells_row,
    undo,
)
from node.trie.nodes import encode_branch


def row(draw):
    kind = draw.random()
    if kind < 0.1:
        return None
    if kind < 0.3:
        return draw.randbytes(draw.choice([1, 40, ROW_BYTES_MIN - 1, ROW_BYTES_MIN, 300]))
    return encode_branch([b"\xa0" + bytes([draw.randrange(3)]) * 32 for _ in range(16)] + [b"\x80"])


@pytest.mark.parametrize("seed", range(20))
def test_every_row_of_a_history_is_found_again(seed):
    draw = random.Random(seed)
    rows = [row(draw) for _ in range(60)]
    images = [encode_image(rows[i], rows[i + 1], b"key", i) for i in range(59)]
    for first in range(59):
        assert decode_image(images[first], rows[first + 1]) == rows[first]
        last = next((i for i in range(first, 59) if tells_row(images[i])), 58)
        assert undo(images[first : last + 1], rows[59] if last == 58 else None) == rows[first]


@pytest.mark.parametrize("changed", [0, 7, 15])
def test_one_childs_change_costs_one_hash(changed):
    children = [b"\xa0" + bytes([i]) * 32 for i in range(16)] + [b"\x80"]
    after = [*children[:changed], b"\xa0" + b"\xff" * 32, *children[changed + 1 :]]
    assert len(encode_image(encode_branch(children), encode_branch(after), b"key", 1)) == 3 + 32


@pytest.mark.parametrize("every", [1, 3, 16, 64])
def test_some_images_are_whole_so_that_no_way_back_is_long(every):
    before, after = b"\x01" * 200, b"\x01" * 199 + b"\x02"
    for key in (b"A", b"a" + bytes(20)):
        numbers = range(0, 3_200 * every, every)
        whole = [number for number in numbers if tells_row(encode_image(before, after, key, number))]
        assert 0.7 < len(whole) / (len(numbers) / WHOLE_ONE_IN) < 1.3
        if every == 1:
            assert max(later - earlier for earlier, later in pairwise(whole)) < 2 * WHOLE_ONE_IN


IMAGES = [(5, b"\x01\x00\x00a"), (6, b""), (8, b"\x00" + bytes(300)), (9, b"\x01\x00\x01bc")]


def test_images_of_several_blocks_are_joined_under_the_last_and_split_again():
    joined = join_images(IMAGES, 12)
    assert list(split_images(joined, 12)) == IMAGES
    assert join_images(IMAGES[:1], 5) == IMAGES[0][1], "of one block alone it is the image"
    assert list(split_images(IMAGES[0][1], 5)) == IMAGES[:1]
    assert list(split_images(join_images(IMAGES[:1], 7), 7)) == IMAGES[:1]


@pytest.mark.parametrize(
    ("number", "told", "count"), [(4, True, 2), (5, True, 1), (6, True, 1), (8, False, 1), (9, False, 0)]
)
def test_an_old_state_takes_the_images_of_later_blocks_up_to_one_that_tells_the_row(number, told, count):
    images = [b"earlier row's"]
    place = b"u key/" + (12).to_bytes(8, "big")
    assert add_images_after(images, number, place, join_images(IMAGES, 12)) == told
    later = [image for each, image in IMAGES if each > number]
    assert images[1:] == later[:count]


def test_joined_images_that_were_cut_inside_one_are_refused():
    joined = join_images(IMAGES, 12)
    whole = {len(join_images(IMAGES[:count], 12)) for count in range(5)}
    for size in range(2, len(joined)):
        if size not in whole:
            with pytest.raises(StorageError, match="does not fit"):
                list(split_images(joined[:size], 12))


@pytest.mark.parametrize(
    ("image", "after"), [(b"\x01\x00\x00a", None), (b"\x01\x00\x05ab", b"123456"), (b"\x02a", b"a")]
)
def test_an_image_that_does_not_fit_is_refused(image, after):
    with pytest.raises(StorageError, match="does not fit"):
        decode_image(image, after)
    with pytest.raises(StorageError, match="does not fit"):
        undo([image], after)
