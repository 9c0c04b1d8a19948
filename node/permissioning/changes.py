"""What is other in a members' file than before, one line a change: who got or lost which right. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from node.permissioning.allowlist import AllowList, ListedAccount, Member
from node.primitives.ids import hex_of


def changes(before: AllowList | None, after: AllowList) -> list[str]:
    """Who came, who went and who is listed otherwise, members first; all of them when there was no list."""
    old = before or AllowList()
    found = list(_changes(old.members, after.members, _member))
    if (old.accounts is None) != (after.accounts is None):
        found.append(
            "accounts: anybody's are taken" if after.accounts is None else "accounts: listed ones only"
        )
    return found + list(_changes(old.accounts or {}, after.accounts or {}, _account))


def _changes(before: Mapping[Any, Any], after: Mapping[Any, Any], words: Any) -> Iterator[str]:
    for key, was in before.items():
        if key not in after:
            yield f"gone: {words(was)}"
    for key, found in after.items():
        if key not in before:
            yield f"new: {words(found)}"
        elif found != before[key]:
            yield f"was: {words(before[key])}; is: {words(found)}"


def _member(member: Member) -> str:
    validator = ", validator" if member.validator else ""
    addresses = f", from {' '.join(member.addresses)}" if member.addresses else ""
    return f"node {member.id[:16].hex()} {member}{validator}{addresses}"


def _account(account: ListedAccount) -> str:
    rights = " ".join(sorted(right.value for right in account.rights)) or "nothing"
    return f"account {hex_of(account.address)} of {account.organisation} may {rights}"
