"""What a transaction found and what it changed: geth's prestateTracer, without tracing an instruction.

The transaction runs on a view that notes what is read through it; what it changed is the session's outcome.
Works with any executor.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from node.execution.executor import AccountOverride, BlockContext, Call, Executor, Interrupted
from node.execution.overrides import OverriddenView
from node.execution.tracing import TRACE_BYTES_MAX, Budget
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.state import EMPTY_ACCOUNT, Account, StateChanges, StateView
from node.primitives.transaction import Transaction

ACCOUNT_BYTES: Final = 120
"""What an account takes as text, without code and slots."""
SLOT_BYTES: Final = 140
"""What a slot takes as text."""

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"


def prestate(
    executor: Executor,
    context: BlockContext,
    view: StateView,
    before: Sequence[Transaction],
    tx: Transaction,
    *,
    diff: bool = False,
    bytes_max: int = TRACE_BYTES_MAX,
    interrupted: Interrupted | None = None,
) -> dict[str, Json]:
    """What `tx` found, after the block's earlier ones; see PrestateWalk.look."""
    walk = PrestateWalk(executor, context, view)
    walk.skip(before, interrupted)
    return walk.look(tx, diff=diff, bytes_max=bytes_max, interrupted=interrupted)


class PrestateWalk:
    """Goes through a block's transactions in their order, once; looks at some of them."""

    def __init__(self, executor: Executor, context: BlockContext, view: StateView) -> None:
        """`view`: the state before the block."""
        self._executor = executor
        self._context = context
        self._view = _GrowingView(view)

    def skip(self, transactions: Sequence[Transaction], interrupted: Interrupted | None = None) -> None:
        """Run the next transactions without looking."""
        if not transactions:
            return
        session = self._executor.begin(self._context, self._view)
        for tx in transactions:
            session.apply(tx, interrupted)
        self._view.add(session.finish().changes)

    def look(
        self,
        tx: Transaction,
        *,
        diff: bool = False,
        bytes_max: int = TRACE_BYTES_MAX,
        interrupted: Interrupted | None = None,
    ) -> dict[str, Json]:
        """Every account and slot that the next transaction looked at, as they were before it.

        With `diff`: {"pre": what it changed as it was, "post": what became of it}, changed fields only in
        "post". TraceTooLarge when the answer would be longer than `bytes_max`.
        """
        seen = _NotingView(self._view)
        session = self._executor.begin(self._context, seen)
        session.apply(tx, interrupted)
        changes = session.finish().changes
        budget = Budget(bytes_max)
        found = _difference(self._view, seen, changes, budget) if diff else _found(seen, budget)
        self._view.add(changes)
        return found


def prestate_of_call(
    executor: Executor,
    context: BlockContext,
    view: StateView,
    call: Call,
    overrides: Mapping[Address, AccountOverride] | None = None,
    *,
    bytes_max: int = TRACE_BYTES_MAX,
    interrupted: Interrupted | None = None,
) -> dict[str, Json]:
    """Every account and slot that a call looked at, what is pretended included."""
    pretended = OverriddenView(view, overrides) if overrides else view
    seen = _NotingView(pretended)
    executor.call(context, seen, call, interrupted=interrupted)
    return _found(seen, Budget(bytes_max))


class _ChangedView:
    """A view with changes on top."""

    def __init__(self, view: StateView, changes: StateChanges) -> None:
        self._view = view
        self._changes = changes

    def account(self, address: Address) -> Account | None:
        if address in self._changes.accounts:
            return self._changes.accounts[address]
        return self._view.account(address)

    def storage(self, address: Address, slot: int) -> int:
        value = self._changes.storage.get(address, {}).get(slot)
        if value is not None:
            return value
        return 0 if address in self._changes.wiped else self._view.storage(address, slot)

    def code(self, code_hash: Hash32) -> bytes:
        code = self._changes.codes.get(code_hash)
        return self._view.code(code_hash) if code is None else code


class _GrowingView:
    """A view with more and more changes on top, as quick to read as with one."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._accounts: dict[Address, Account | None] = {}
        self._storage: dict[Address, dict[int, int]] = {}
        self._wiped: set[Address] = set()
        self._codes: dict[Hash32, bytes] = {}

    def add(self, changes: StateChanges) -> None:
        """What came after all that is here."""
        self._accounts.update(changes.accounts)
        self._codes.update(changes.codes)
        for address in changes.wiped:
            self._wiped.add(address)
            self._storage.pop(address, None)
        for address, slots in changes.storage.items():
            self._storage.setdefault(address, {}).update(slots)

    def account(self, address: Address) -> Account | None:
        if address in self._accounts:
            return self._accounts[address]
        return self._view.account(address)

    def storage(self, address: Address, slot: int) -> int:
        value = self._storage.get(address, {}).get(slot)
        if value is not None:
            return value
        return 0 if address in self._wiped else self._view.storage(address, slot)

    def code(self, code_hash: Hash32) -> bytes:
        code = self._codes.get(code_hash)
        return self._view.code(code_hash) if code is None else code


class _NotingView:
    """A view that notes what is read through it."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self.accounts: dict[Address, Account | None] = {}
        self.slots: dict[Address, dict[int, int]] = {}

    def account(self, address: Address) -> Account | None:
        account = self.accounts[address] = self._view.account(address)
        return account

    def storage(self, address: Address, slot: int) -> int:
        value = self.slots.setdefault(address, {})[slot] = self._view.storage(address, slot)
        return value

    def code(self, code_hash: Hash32) -> bytes:
        return self._view.code(code_hash)


def _found(seen: _NotingView, budget: Budget) -> dict[str, Json]:
    return {
        hex_of(address): _account_json(seen, account, seen.slots.get(address, {}), budget)
        for address, account in seen.accounts.items()
    }


def _account_json(
    view: StateView, account: Account | None, slots: Mapping[int, int], budget: Budget
) -> dict[str, Json]:
    nonce, balance, code_hash = account or EMPTY_ACCOUNT
    fields: dict[str, Json] = {"balance": hex(balance)}
    if nonce:
        fields["nonce"] = nonce
    code = view.code(code_hash) if account is not None else b""
    budget.spend(ACCOUNT_BYTES + 2 * len(code) + SLOT_BYTES * len(slots))
    if code:
        fields["code"] = hex_of(code)
    if slots:
        fields["storage"] = _slots_json(slots)
    return fields


def _difference(view: StateView, seen: _NotingView, changes: StateChanges, budget: Budget) -> dict[str, Json]:
    later = _ChangedView(view, changes)
    pre: dict[str, Json] = {}
    post: dict[str, Json] = {}
    for address, after in changes.accounts.items():
        account, slots = seen.accounts[address], changes.storage.get(address, {})
        if account is not None:
            before = {slot: view.storage(address, slot) for slot in slots}
            if address in changes.wiped:
                before |= seen.slots.get(address, {})
            kept = {slot: value for slot, value in before.items() if value}
            pre[hex_of(address)] = _account_json(view, account, kept, budget)
        if after is not None:
            kept = {slot: value for slot, value in slots.items() if value}
            fields = _account_json(later, after, kept, budget)
            post[hex_of(address)] = _changed_fields(account, fields, after)
    return {"pre": pre, "post": post}


def _changed_fields(before: Account | None, fields: dict[str, Json], after: Account) -> dict[str, Json]:
    nonce, balance, code_hash = before or EMPTY_ACCOUNT
    same = {"nonce": nonce == after.nonce, "balance": balance == after.balance}
    same["code"] = code_hash == after.code_hash
    return {name: value for name, value in fields.items() if not same.get(name)}


def _slots_json(slots: Mapping[int, int]) -> dict[str, Json]:
    return {f"0x{slot:064x}": f"0x{slots[slot]:064x}" for slot in sorted(slots)}
