"""A bounded memory that never brings back what was removed."""

from node.chain.cache import RecentlyUsed


def test_what_was_used_longest_ago_makes_room() -> None:
    cache: RecentlyUsed[str, int] = RecentlyUsed(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert len(cache) == 2


def test_a_value_read_before_it_was_removed_is_not_remembered_after() -> None:
    cache: RecentlyUsed[str, int] = RecentlyUsed(2)
    discards = cache.discards
    cache.discard("a")  # by another thread, between reading "a" from the disk and remembering it
    cache.put("a", 1, discards)
    assert cache.get("a") is None
    cache.put("a", 1, cache.discards)
    assert cache.get("a") == 1


def test_heavy_values_leave_room_for_fewer() -> None:
    cache: RecentlyUsed[str, int] = RecentlyUsed(4, 10)
    cache.put("a", 1, weight=4)
    cache.put("b", 2, weight=4)
    cache.put("b", 2, weight=6)  # again: not counted twice
    assert [cache.get(key) for key in "ab"] == [1, 2]
    cache.put("c", 3, weight=1)
    assert [cache.get(key) for key in "abc"] == [None, 2, 3]
    cache.discard("b")
    cache.put("d", 4, weight=9)
    assert [cache.get(key) for key in "cd"] == [3, 4]
    cache.put("e", 5, weight=100)
    assert [cache.get(key) for key in "cde"] == [None, None, 5], "what is too heavy is kept alone"
    for key in "fghi":
        cache.put(key, 6)
    assert [cache.get(key) for key in "efghi"] == [None, 6, 6, 6, 6]


def test_who_does_not_say_what_values_weigh_is_bound_by_their_number() -> None:
    cache: RecentlyUsed[str, int] = RecentlyUsed(3)
    for place, key in enumerate("abcd"):
        cache.put(key, place, weight=1_000)
    assert [cache.get(key) for key in "abcd"] == [None, 1, 2, 3]
