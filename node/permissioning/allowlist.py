"""The members' file: who may connect, and whose transactions this node's pool takes. It decides no block.

    [[members]]
    id = "..."                      # 128 hex digits, or an enode URL
    name = "alpha"
    organisation = "operator"
    tier = "core"                   # core, regional or edge
    validator = true                # optional
    addresses = ["10.1.0.0/16"]     # optional: where it must come from

    [[accounts]]                    # optional section: without it the pool takes everybody's
    address = "0x..."
    organisation = "operator"
    rights = ["transfer", "call", "deploy"]    # value in a call, or in a deployment, takes both

TOML, or JSON with the same names. A file is taken whole or not at all: what is wrong with one entry could be
what keeps somebody out.
"""

import ipaddress
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.config.stamps import Stamp, stamp_of
from node.permissioning.policy import MAY_DIAL, Decision, Meeting, Right, Sending, Tier, is_in, rights_for
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.primitives.transaction import Transaction

FILE_BYTES_MAX: Final = 8 << 20
MEMBERS_MAX: Final = 20_000
MEMBER_KEYS: Final = frozenset({"id", "name", "organisation", "tier", "validator", "addresses"})
ACCOUNT_KEYS: Final = frozenset({"address", "organisation", "rights"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node of an organisation."""

    id: bytes
    """64-byte public key."""
    name: str = ""
    organisation: str
    tier: Tier
    validator: bool = False
    addresses: tuple[str, ...] = ()
    """Networks that it must come from; anywhere when empty."""

    def __str__(self) -> str:
        return f"{self.name or self.id[:4].hex()} of {self.organisation} ({self.tier.value})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAccount:
    """An account and what it may send."""

    address: Address
    organisation: str
    rights: frozenset[Right]


@dataclass(frozen=True, slots=True)
class AllowList:
    """What the file says."""

    members: Mapping[bytes, Member] = field(default_factory=dict)
    accounts: Mapping[Address, ListedAccount] | None = None
    """None: the file has nothing to say about accounts."""

    def meet(self, own_id: bytes, meeting: Meeting) -> Decision:
        """May this node, itself `own_id`, be connected so?"""
        them, us = self.members.get(meeting.id), self.members.get(own_id)
        if them is None:
            return Decision(False, "file", f"node {meeting.id[:4].hex()}… is not in the members' file")
        if them.addresses and meeting.host is not None and not is_in(meeting.host, them.addresses):
            allowed = ", ".join(them.addresses)
            return Decision(False, "address", f"{them} comes from {meeting.host}; it may from {allowed}")
        if us is None:
            return Decision(True, "file", f"{them} is in the members' file; this node itself is not")
        dialler, dialled = (them, us) if meeting.inbound else (us, them)
        if dialled.validator and dialler.tier is Tier.EDGE:
            return Decision(False, "tier", f"{dialler} may not reach the validator {dialled}")
        if dialled.tier not in MAY_DIAL[dialler.tier]:
            return Decision(False, "tier", f"{dialler} may not dial {dialled}")
        if us.validator and them.validator:
            return Decision(True, "validators", f"{them} is a validator as we are: they always meet")
        return Decision(True, "file", f"{them} is in the members' file")

    def allows(self, tx: Transaction) -> bool:
        """`send` without its words: every transaction that comes to the pool is asked about."""
        if self.accounts is None:
            return True
        found = self.accounts.get(tx.sender)
        if found is None:
            return False
        return rights_for(tx.to, tx.value, tx.data) <= found.rights

    def send(self, sending: Sending) -> Decision:
        """May the pool take it?"""
        if self.accounts is None:
            return Decision(True, "none", "the members' file says nothing of accounts")
        found = self.accounts.get(sending.sender)
        if found is None:
            return Decision(False, "file", f"{hex_of(sending.sender)} is not in the members' file")
        missing = sorted(right.value for right in sending.rights - found.rights)
        if missing:
            return Decision(False, "file", f"{sending}: it has no right to {' and '.join(missing)}")
        return Decision(True, "file", f"{hex_of(sending.sender)} of {found.organisation} has the right")


def read_allowlist(path: Path) -> AllowList:
    """The file; ConfigError with everything that is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError([f"{path}: more than {FILE_BYTES_MAX} bytes is no members' file"])
    try:
        tree = json.loads(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError([f"{path}: not {kind}: {error}"]) from error
    problems: list[str] = []
    found = parse_allowlist(tree, problems)
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return found


def parse_allowlist(tree: Any, problems: list[str]) -> AllowList:
    """What a decoded file says; what is wrong goes to `problems`."""
    if not isinstance(tree, dict):
        problems.append("tables [[members]] are expected")
        return AllowList()
    problems += [
        f"{key} is not known; there are members and accounts" for key in tree.keys() - {"members", "accounts"}
    ]
    members: dict[bytes, Member] = {}
    for place, entry in _entries(tree, "members", problems):
        member = _member(place, entry, problems)
        if member is not None and member.id in members:
            problems.append(f"{place}: {member} is listed twice")
        elif member is not None:
            members[member.id] = member
    if "members" not in tree:
        problems.append("members is missing: nobody could connect")
    accounts: dict[Address, ListedAccount] = {}
    for place, entry in _entries(tree, "accounts", problems):
        account = _account(place, entry, problems)
        if account is not None and account.address in accounts:
            problems.append(f"{place}: {hex_of(account.address)} is listed twice")
        elif account is not None:
            accounts[account.address] = account
    return AllowList(members, accounts if "accounts" in tree else None)


def encode_allowlist(found: AllowList, *, as_json: bool = False) -> str:
    """The file that `read_allowlist` reads as this."""
    members = [_member_entry(member) for member in found.members.values()]
    accounts = [
        {
            "address": hex_of(each.address),
            "organisation": each.organisation,
            "rights": sorted(right.value for right in each.rights),
        }
        for each in (found.accounts or {}).values()
    ]
    tree: dict[str, list[dict[str, Any]]] = {"members": members}
    if found.accounts is not None:
        tree["accounts"] = accounts
    if as_json:
        return json.dumps(tree, indent=2) + "\n"
    lines = [f"{name} = []\n" for name, entries in tree.items() if not entries]
    for name, entries in tree.items():
        lines += [f"[[{name}]]\n" + _toml(entry) for entry in entries]
    return "\n".join(lines)


def _toml(entry: Mapping[str, Any]) -> str:
    """JSON's texts, lists and booleans are TOML's too."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())


def _member_entry(member: Member) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": member.id.hex(), "name": member.name}
    entry |= {"organisation": member.organisation, "tier": member.tier.value, "validator": member.validator}
    return entry | ({"addresses": list(member.addresses)} if member.addresses else {})


def _entries(
    tree: Mapping[str, Any], name: str, problems: list[str]
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    entries = tree.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        problems.append(f"{name}: a list of tables is expected")
        return ()
    if len(entries) > MEMBERS_MAX:
        problems.append(f"{name}: {len(entries)} entries; at most {MEMBERS_MAX}")
        return ()
    return ((f"{name}[{place}]", entry) for place, entry in enumerate(entries))


def _member(place: str, entry: Mapping[str, Any], problems: list[str]) -> Member | None:
    before = len(problems)
    problems += [f"{place}.{key} is not known" for key in entry.keys() - MEMBER_KEYS]
    identity = node_id(entry.get("id"))
    if identity is None:
        problems.append(f"{place}.id: 128 hex digits or an enode URL are expected")
    tier = next((each for each in Tier if each.value == entry.get("tier")), None)
    if tier is None:
        problems.append(f"{place}.tier: {entry.get('tier')!r} is none; it is core, regional or edge")
    addresses = _networks(place, entry.get("addresses", []), problems)
    texts = {key: entry.get(key, "") for key in ("name", "organisation")}
    problems += [
        f"{place}.{key}: a text is expected" for key, text in texts.items() if not isinstance(text, str)
    ]
    if not texts["organisation"]:
        problems.append(f"{place}.organisation is missing")
    validator = entry.get("validator", False)
    if not isinstance(validator, bool):
        problems.append(f"{place}.validator: true or false is expected")
    elif validator and tier is Tier.EDGE:
        problems.append(f"{place}.validator: nothing of the edge tier may be a validator")
    if len(problems) > before or identity is None or tier is None:
        return None
    return Member(id=identity, tier=tier, validator=validator, addresses=addresses, **texts)


def _networks(place: str, value: Any, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        problems.append(f"{place}.addresses: a list is expected")
        return ()
    for each in value:
        try:
            ipaddress.ip_network(each, strict=False)
        except (ValueError, TypeError):
            problems.append(f"{place}.addresses: {each!r} is no address or network")
    return tuple(map(str, value))


def _account(place: str, entry: Mapping[str, Any], problems: list[str]) -> ListedAccount | None:
    before = len(problems)
    problems += [f"{place}.{key} is not known" for key in entry.keys() - ACCOUNT_KEYS]
    address = account_address(entry.get("address"))
    if address is None:
        problems.append(f"{place}.address: 0x and 40 hex digits are expected")
    wanted, names = entry.get("rights", []), {right.value: right for right in Right}
    if not isinstance(wanted, list) or not wanted or not all(each in names for each in wanted):
        problems.append(f"{place}.rights: a list of {', '.join(names)} is expected")
    organisation = entry.get("organisation", "")
    if not isinstance(organisation, str):
        problems.append(f"{place}.organisation: a text is expected")
    if len(problems) > before or address is None:
        return None
    return ListedAccount(
        address=address, organisation=organisation, rights=frozenset(names[each] for each in wanted)
    )


def node_id(text: Any) -> bytes | None:
    """The 64-byte key in a text: bare, with 0x, or an enode URL; None when there is none."""
    if not isinstance(text, str):
        return None
    digits = text.removeprefix("enode://").partition("@")[0].removeprefix("0x")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        return None
    return key if len(key) == 64 else None


def account_address(text: Any) -> Address | None:
    """0x and 40 hex digits; None for anything else."""
    if not isinstance(text, str) or not text.startswith("0x") or len(text) != 42:
        return None
    try:
        return Address(bytes.fromhex(text[2:]))
    except ValueError:
        return None


class AllowListFile:
    """The file at its path, read again when asked; a bad one changes nothing but `problem`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current: AllowList | None = None
        """None as long as no good file has been seen: then nobody new is let in."""
        self.problem: str | None = None
        """Why the newest file could not be taken; None when it was."""
        self._seen: Stamp = None
        self.reload()

    def has_changed(self) -> bool:
        """Whether another file lies there than the one that was read last."""
        return stamp_of(self.path) != self._seen

    def reload(self) -> bool:
        """Read it; whether what it says is other than before."""
        self._seen = stamp_of(self.path)
        try:
            found = read_allowlist(self.path)
        except ConfigError as error:
            self.problem = str(error)
            return False
        self.problem = None
        changed, self.current = found != self.current, found
        return changed

    def change(self, found: AllowList) -> None:
        """Write it, whole or not at all, and take it."""
        aside = self.path.with_name(self.path.name + ".new")
        aside.write_text(encode_allowlist(found, as_json=self.path.suffix == ".json"))
        aside.chmod(0o600)
        aside.replace(self.path)
        self.reload()


def with_members(found: AllowList, members: Sequence[Member]) -> AllowList:
    """The list with these entered or replaced."""
    return AllowList({**found.members, **{each.id: each for each in members}}, found.accounts)


def without_members(found: AllowList, ids: Sequence[bytes]) -> AllowList:
    """The list without these."""
    return AllowList({key: each for key, each in found.members.items() if key not in ids}, found.accounts)


def with_accounts(found: AllowList, accounts: Sequence[ListedAccount]) -> AllowList:
    """The list with these entered or replaced."""
    return AllowList(found.members, {**(found.accounts or {}), **{each.address: each for each in accounts}})


def without_accounts(found: AllowList, addresses: Sequence[Address]) -> AllowList:
    """The list without these."""
    kept = {key: each for key, each in (found.accounts or {}).items() if key not in addresses}
    return AllowList(found.members, kept)
