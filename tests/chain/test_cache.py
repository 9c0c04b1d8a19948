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
