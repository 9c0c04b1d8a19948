"""The state under a proved root, fetched when it is read: the StateView that our executor runs over.

What is kept is keyed by content: accounts by state root, slots by storage root, code by hash. A new block
costs one proof for each account that a call reads; the slots and the code of a contract that the block did
not touch are still there. What a call is likely to read is fetched in one batch: before it runs what the same
call read last time, or else, once it reads what is not at hand, what an upstream says it will read
(eth_createAccessList). That is a hint and no more: whatever is missing is fetched when it is read, and all of
it is proved.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from node.light.errors import InvalidClaim
from node.light.provider import Provider
from node.light.reads import (
    ProofClaim,
    ProvedAccount,
    account_of,
    is_codeless,
    slot_of,
    verify_code,
)
from node.light.upstreams import Upstreams
from node.primitives.block import Header
from node.primitives.crypto import EMPTY_HASH
from node.primitives.errors import RequestError
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.state import Account
from node.primitives.transaction import AccessList
from node.trie.nodes import EMPTY_ROOT

ACCOUNTS_KEPT: Final = 4_096
SLOTS_KEPT: Final = 16_384
CODES_KEPT: Final = 128
HINTS_KEPT: Final = 512
PROOFS_PER_REQUEST: Final = 64
SLOTS_PER_PROOF: Final = 256
TOUCHED_MAX: Final = 4_096
"""Accounts and slots fetched ahead for one call: a hint may be a lie, too."""

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last used entries of a mapping. Any thread."""

    def __init__(self, entries_max: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._entries_max = entries_max
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, or None."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        """Keep a value, and let the one go that was used longest ago."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)


class ProvedState:
    """Everything proved of any state, and how more is fetched."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._accounts: Recent[tuple[Hash32, Address], ProvedAccount] = Recent(ACCOUNTS_KEPT)
        self._slots: Recent[tuple[Hash32, int], int] = Recent(SLOTS_KEPT)
        self._codes: Recent[Hash32, bytes] = Recent(CODES_KEPT)
        self._hints: Recent[tuple[Address | None, bytes], AccessList] = Recent(HINTS_KEPT)

    def view(self, header: Header, look_ahead: Callable[[], None] | None = None) -> "ProvedView":
        """The state after a verified header; `look_ahead` is called once, when something is not at hand."""
        return ProvedView(self, header, look_ahead)

    def has(self, header: Header, address: Address, slot: int | None = None) -> bool:
        """Whether an account, and a slot of it, can be read without an upstream."""
        account = self._accounts.get((header.state_root, address))
        if account is None or slot is None or account.storage_root == EMPTY_ROOT:
            return account is not None
        return self._slots.get((account.storage_root, slot)) is not None

    def account(self, header: Header, address: Address) -> ProvedAccount:
        """An account, or that there is none."""
        found = self._accounts.get((header.state_root, address))
        return self.fetch(header, {address: ()})[address] if found is None else found

    def slot(self, header: Header, address: Address, slot: int) -> int:
        """A slot's value."""
        account = self.account(header, address)
        if account.storage_root == EMPTY_ROOT:
            return 0
        found = self._slots.get((account.storage_root, slot))
        if found is None:
            self.fetch(header, {address: (slot,)})
            found = self._slots.get((account.storage_root, slot))
            assert found is not None, "just fetched"
        return found

    def code(self, header: Header, code_hash: Hash32, address: Address) -> bytes:
        """The code with this hash, which the account has."""
        if code_hash == EMPTY_HASH:
            return b""
        found = self._codes.get(code_hash)
        if found is None:
            self._fetch_codes(header, {address: code_hash})
            found = self._codes.get(code_hash)
            assert found is not None, "just fetched"
        return found

    def fetch(self, header: Header, wanted: Mapping[Address, Sequence[int]]) -> dict[Address, ProvedAccount]:
        """Prove accounts and slots, in as few requests as their limits allow."""
        requests = [
            (address, tuple(slots[start : start + SLOTS_PER_PROOF]))
            for address, slots in wanted.items()
            for start in range(0, max(len(slots), 1), SLOTS_PER_PROOF)
        ]
        found: dict[Address, ProvedAccount] = {}
        for start in range(0, len(requests), PROOFS_PER_REQUEST):
            part = requests[start : start + PROOFS_PER_REQUEST]
            what = f"{len(part)} accounts after block {header.ref}"
            found |= self._upstreams.ask(what, partial(self._prove, header, part))
        return found

    def proof(
        self, header: Header, address: Address, slots: Sequence[int]
    ) -> tuple[ProofClaim, ProvedAccount]:
        """The nodes themselves, and what they prove."""

        def claim(provider: Provider) -> tuple[ProofClaim, ProvedAccount]:
            (found,) = provider.proofs(header.hash, [(address, slots)])
            return found, self._take(header, found)

        return self._upstreams.ask(f"an account after block {header.ref}", claim)

    def prefetch(self, header: Header, touched: AccessList, accounts: Iterable[Address]) -> None:
        """Have at hand what a call is likely to read."""
        wanted: dict[Address, list[int]] = {}
        codes: dict[Address, Hash32] = {}
        for address, keys in ((*touched, *((each, ()) for each in accounts)))[:TOUCHED_MAX]:
            account = self._accounts.get((header.state_root, address))
            slots = [int.from_bytes(key, "big") for key in keys[:TOUCHED_MAX]]
            if account is not None:
                root = account.storage_root
                slots = [] if root == EMPTY_ROOT else [s for s in slots if self._slots.get((root, s)) is None]
            if account is None or slots:
                wanted.setdefault(address, []).extend(slots)
        if not wanted:
            return
        proved = self.fetch(header, wanted)
        for address, account in proved.items():
            if not is_codeless(account.account):
                assert account.account is not None
                if self._codes.get(account.account.code_hash) is None:
                    codes[address] = account.account.code_hash
        if codes:
            self._fetch_codes(header, codes)

    def hint(self, to: Address | None, data: bytes) -> AccessList | None:
        """What this call read last time; None for one that is new."""
        return self._hints.get((to, data))

    def ask_hint(self, ask: Callable[[Provider], AccessList]) -> AccessList:
        """What an upstream thinks that a call will read."""
        try:
            return self._upstreams.ask("a hint", ask)
        except RequestError:
            return ()  # a hint that cannot be had only costs time

    def remember(self, to: Address | None, data: bytes, touched: AccessList) -> None:
        """Note what a call has read."""
        self._hints.put((to, data), touched)

    # --- private

    def _prove(
        self, header: Header, wanted: Sequence[tuple[Address, Sequence[int]]], provider: Provider
    ) -> dict[Address, ProvedAccount]:
        claims = provider.proofs(header.hash, wanted)
        return {claim.address: self._take(header, claim) for claim in claims}

    def _take(self, header: Header, claim: ProofClaim) -> ProvedAccount:
        account = account_of(header.state_root, claim.address, claim.nodes)
        values = [(slot, slot_of(account.storage_root, slot, nodes)) for slot, nodes in claim.slots]
        self._accounts.put((header.state_root, claim.address), account)
        for slot, value in values:
            self._slots.put((account.storage_root, slot), value)
        return account

    def _fetch_codes(self, header: Header, wanted: Mapping[Address, Hash32]) -> None:
        def claim(provider: Provider) -> list[bytes]:
            codes = provider.codes(header.hash, tuple(wanted))
            for code, code_hash in zip(codes, wanted.values(), strict=True):
                verify_code(code_hash, code)
            return codes

        codes = self._upstreams.ask(f"the code of {len(wanted)} accounts", claim)
        for code, code_hash in zip(codes, wanted.values(), strict=True):
            self._codes.put(code_hash, code)


class ProvedView:
    """StateView over proofs. Reading may wait for an upstream; NothingProved when none can prove it."""

    def __init__(
        self, state: ProvedState, header: Header, look_ahead: Callable[[], None] | None = None
    ) -> None:
        self._state, self._header = state, header
        self._look_ahead = look_ahead
        self._owners: dict[Hash32, Address] = {}

    def account(self, address: Address) -> Account | None:
        """See the port."""
        self._foresee(address)
        account = self._state.account(self._header, address).account
        if account is not None and account.code_hash != EMPTY_HASH:
            self._owners[account.code_hash] = address
        return account

    def storage(self, address: Address, slot: int) -> int:
        """See the port."""
        self._foresee(address, slot)
        return self._state.slot(self._header, address, slot)

    def code(self, code_hash: Hash32) -> bytes:
        """See the port."""
        if code_hash == EMPTY_HASH:
            return b""
        owner = self._owners.get(code_hash)
        if owner is None:
            raise InvalidClaim(f"code {hex_of(code_hash)} of an account that was never read")
        return self._state.code(self._header, code_hash, owner)

    def _foresee(self, address: Address, slot: int | None = None) -> None:
        if self._look_ahead is not None and not self._state.has(self._header, address, slot):
            look_ahead, self._look_ahead = self._look_ahead, None
            look_ahead()
