"""A chain in this process: our executor over states in memory, a block per transaction, gas for free.

    chain = Sandbox()
    token = chain.proxy("SettlementToken", authority.address)
    token.send.mint(holder, 5, reference, sender=chain.account(1)).gas_used
    assert token.call.balanceOf(holder) == 5
    with chain.refusing("SettlementTokenReferenceUsed", reference_=reference):
        token.send.mint(holder, 5, reference, sender=chain.account(1))

Addresses are checksummed text, bytes32 are bytes. Names of functions are Solidity's; an overloaded one is
called by its signature: `contract.send["open(bytes32)"](...)`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth_abi import abi as codec
from eth_account import Account as Accounts
from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address

from contracts.artifacts import load
from contracts.binding import decode_error, kinds_of
from contracts.generate import signature
from node.execution.evm.executor import FastExecutor
from node.execution.executor import BlockContext, Call
from node.execution.py_evm import PyEvmExecutor
from node.execution.reverts import revert_reason
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import ZERO_ADDRESS, Address, Hash32
from node.primitives.receipt import Log
from node.primitives.rlp import encode
from node.primitives.state import Account, StateChanges
from node.primitives.transaction import Transaction, TransactionType

CHAIN_ID = 325_000
GAS_LIMIT = 30_000_000
START = 1_800_000_000
"""Seconds: the time of the first block."""
BLOCK_S = 2
EXECUTOR = FastExecutor(PyEvmExecutor())
"""One for all sandboxes: what it has translated once it keeps."""


class Reverted(Exception):
    """A call or transaction failed: the error's name and arguments (Error, Panic: `reason`)."""

    def __init__(self, name: str, arguments: dict[str, Any], output: bytes = b"") -> None:
        super().__init__(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
        self.name = name
        self.arguments = arguments
        self.output = output


@dataclass(frozen=True)
class Event:
    """A decoded log."""

    name: str
    arguments: dict[str, Any]
    address: str

    def __getattr__(self, name: str) -> Any:
        try:
            return self.arguments[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Done:
    """A transaction that succeeded."""

    gas_used: int
    output: Any
    """What the function returned, decoded."""
    events: tuple[Event, ...]
    """Of every contract that the sandbox knows, in order."""
    logs: tuple[Log, ...] = ()
    """All of them, as they stand in the receipt."""

    def named(self, name: str) -> list[dict[str, Any]]:
        """Arguments of the events of one kind."""
        return [event.arguments for event in self.events if event.name == name]

    def only(self, name: str) -> dict[str, Any]:
        """Arguments of the one event of this kind."""
        (found,) = self.named(name)
        return found


@dataclass
class World:
    """A StateView over plain dicts, changed in place between blocks."""

    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[Address, dict[int, int]] = field(default_factory=dict)
    codes: dict[Hash32, bytes] = field(default_factory=dict)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.slots.get(address, {}).get(slot, 0)

    def code(self, code_hash: Hash32) -> bytes:
        return b"" if code_hash == EMPTY_HASH else self.codes[code_hash]

    def apply(self, changes: StateChanges) -> None:
        for address in changes.wiped:
            self.slots.pop(address, None)
        for address, account in changes.accounts.items():
            if account is None:
                self.accounts.pop(address, None)
            else:
                self.accounts[address] = account
        for address, changed in changes.storage.items():
            self.slots.setdefault(address, {}).update(changed)
        self.codes.update(changes.codes)

    def alloc(self) -> dict[str, Any]:
        """The same as the `alloc` of a genesis.json."""
        return {
            "0x" + address.hex(): {
                "balance": str(account.balance),
                "nonce": hex(account.nonce),
                "code": "0x" + self.code(account.code_hash).hex(),
                "storage": {
                    f"0x{slot:064x}": f"0x{value:064x}"
                    for slot, value in self.slots.get(address, {}).items()
                    if value
                },
            }
            for address, account in self.accounts.items()
        }

    def copy(self) -> "World":
        return World(dict(self.accounts), {a: dict(s) for a, s in self.slots.items()}, dict(self.codes))


class Contract:
    """`.call.fn(...)` asks, `.send.fn(..., sender=)` changes, `.data.fn(...)` encodes."""

    def __init__(self, chain: "Sandbox", name: str, address: str) -> None:
        self.chain, self.name, self.address = chain, name, address
        self.abi = load(name).abi
        self.call = Functions(self, self._call)
        self.send = Functions(self, self._send)
        self.data = Functions(self, lambda entry, arguments, _: encoded(entry, arguments))

    def _call(self, entry: dict[str, Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        output = self.chain.ask(self.address, encoded(entry, arguments), **options)
        return decoded(entry, output)

    def _send(self, entry: dict[str, Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Done:
        return self.chain.transact(self.address, encoded(entry, arguments), entry, **options)


class Functions:
    """The functions of a contract, by name or by signature."""

    def __init__(self, contract: Contract, use: Callable[..., Any]) -> None:
        self._use = use
        self._entries = {}
        for entry in contract.abi:
            if entry["type"] == "function":
                self._entries[signature(entry)] = entry
                name = entry["name"]
                self._entries[name] = None if name in self._entries else entry

    def __getitem__(self, name: str) -> Callable[..., Any]:
        entry = self._entries[name]
        assert entry is not None, f"{name} is overloaded: call it by its signature"
        return lambda *arguments, **options: self._use(entry, arguments, options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Sandbox:
    """The chain. A transaction without `sender` comes from account 0."""

    def __init__(self) -> None:
        self.world = World()
        self.now = START
        self.number = 1
        self.contracts: list[Contract] = []
        self._sent = 0
        self._undecoded: dict[bytes, tuple[str, dict[str, Any]]] = {}

    # --- people and time

    def account(self, place: int) -> str:
        """The address of the account at a place."""
        return self.key(place).address

    def key(self, place: int) -> LocalAccount:
        """Its key, for signatures."""
        return Accounts.from_key(keccak256(b"sandbox account %d" % place))

    def warp(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds

    def snapshot(self) -> Any:
        """The present, to come back to."""
        return self.world.copy(), self.now, self.number, len(self.contracts)

    def restore(self, snapshot: Any) -> None:
        """Back to a snapshot, which can be used again."""
        world, self.now, self.number, count = snapshot
        self.world = world.copy()
        del self.contracts[count:]

    # --- contracts

    def deploy(self, name: str, *arguments: Any, sender: str | None = None) -> Contract:
        """A contract with its constructor's arguments."""
        artifact = load(name)
        constructor = next((each for each in artifact.abi if each["type"] == "constructor"), None)
        tail = codec.encode(kinds_of(constructor), plain(arguments)) if constructor else b""
        author = sender or self.account(0)
        address = self.next_address(author)
        self.transact(None, artifact.bytecode + tail, sender=author)
        return self.at(name, address)

    def proxy(self, name: str, *arguments: Any, sender: str | None = None) -> Contract:
        """An upgradeable contract behind an ERC1967Proxy, initialized with the arguments."""
        implementation = self.deploy(name, sender=sender)
        data = implementation.data.initialize(*arguments)
        return self.at(name, self.deploy("ERC1967Proxy", implementation.address, data, sender=sender).address)

    def at(self, name: str, address: str) -> Contract:
        """A contract that is there already, seen as `name`."""
        contract = Contract(self, name, address)
        self.contracts.append(contract)
        self._learn(contract)
        return contract

    def next_address(self, sender: str) -> str:
        """Where the sender's next contract will stand."""
        author = canonical(sender)
        nonce = (self.world.account(author) or Account(0, 0, EMPTY_HASH)).nonce
        return to_checksum_address(keccak256(encode([author, nonce]))[12:])

    def code_at(self, address: str) -> bytes:
        """Runtime code."""
        account = self.world.account(canonical(address))
        return self.world.code(account.code_hash) if account else b""

    def put_code(self, address: str, code: bytes, storage: dict[int, int] | None = None) -> None:
        """Genesis: a contract that was always there."""
        digest = keccak256(code)
        self.world.apply(
            StateChanges({canonical(address): Account(1, 0, digest)}, {canonical(address): storage or {}},
                         codes={digest: code})
        )  # fmt: skip

    # --- the chain

    def ask(self, to: str | None, data: bytes, *, sender: str | None = None, gas: int = GAS_LIMIT) -> bytes:
        """eth_call; Reverted when it fails."""
        author = canonical(sender or self.account(0))
        call = Call(sender=author, to=canonical(to) if to else None, data=data, gas_limit=gas)
        result = EXECUTOR.call(self._context(), self.world, call)
        if result.error is not None:
            raise self._reverted(result.error, result.output)
        return result.output

    def transact(
        self,
        to: str | None,
        data: bytes,
        entry: dict[str, Any] | None = None,
        *,
        sender: str | None = None,
        value: int = 0,
        gas: int = GAS_LIMIT,
    ) -> Done:
        """A block with one transaction; Reverted (and no block) when it fails."""
        author = canonical(sender or self.account(0))
        recipient = canonical(to) if to else None
        context = self._context()
        output = b""
        if entry is None or entry["outputs"]:
            call = Call(sender=author, to=recipient, data=data, gas_limit=gas, value=value)
            output = EXECUTOR.call(context, self.world, call).output if entry else b""
        before = self.world.account(author)
        # A contract has no key; here it may send all the same, as if it had no code while it does.
        if before is not None and before.code_hash != EMPTY_HASH:
            self.world.accounts[author] = before._replace(code_hash=EMPTY_HASH)
        try:
            return self._include(context, author, recipient, data, entry, output, value, gas)
        finally:
            after = self.world.accounts.get(author)
            if before is not None and after is not None:
                self.world.accounts[author] = after._replace(code_hash=before.code_hash)

    def _include(
        self,
        context: BlockContext,
        author: Address,
        recipient: Address | None,
        data: bytes,
        entry: dict[str, Any] | None,
        output: bytes,
        value: int,
        gas: int,
    ) -> Done:
        session = EXECUTOR.begin(context, self.world)
        receipt = session.apply(self._transaction(author, recipient, data, value, gas))
        if not receipt.succeeded:
            call = Call(sender=author, to=recipient, data=data, gas_limit=gas, value=value)
            result = EXECUTOR.call(context, self.world, call)
            raise self._reverted(result.error or "failed", result.output)
        self.world.apply(session.finish().changes)
        self.number += 1
        self.now += BLOCK_S
        events = tuple(event for log in receipt.logs if (event := self._event(log)))
        return Done(
            receipt.cumulative_gas_used, decoded(entry, output) if entry else None, events, receipt.logs
        )

    @contextmanager
    def refusing(self, name: str, /, **arguments: Any) -> Iterator[None]:
        """The block must be refused with this error; arguments that are given must be equal."""
        with pytest.raises(Reverted) as caught:
            yield
        got = {key: caught.value.arguments.get(key) for key in arguments}
        assert (caught.value.name, got) == (name, {key: plain(each) for key, each in arguments.items()}), str(
            caught.value
        )

    def _context(self) -> BlockContext:
        return BlockContext(
            chain_id=CHAIN_ID, fork=Fork.LONDON, number=self.number, timestamp=self.now,
            author=ZERO_ADDRESS, gas_limit=GAS_LIMIT, base_fee_per_gas=0, difficulty=1,
            block_hash=lambda number: Hash32(bytes(32)),
        )  # fmt: skip

    def _transaction(
        self, sender: Address, to: Address | None, data: bytes, value: int, gas: int
    ) -> Transaction:
        self._sent += 1
        account = self.world.account(sender)
        tx = Transaction(
            type=TransactionType.FEE_MARKET, chain_id=CHAIN_ID, nonce=account.nonce if account else 0,
            max_priority_fee_per_gas=0, max_fee_per_gas=0, gas_limit=gas, to=to, value=value, data=data,
            y_parity=0, r=1, s=1, encoded=b"", hash=keccak256(b"transaction %d" % self._sent),
        )  # fmt: skip
        tx.remember_sender(sender)
        return tx

    def _learn(self, contract: Contract) -> None:
        for entry in contract.abi:
            if entry["type"] == "event":
                self._undecoded[keccak256(signature(entry).encode())] = (contract.name, entry)

    def _event(self, log: Log) -> Event | None:
        known = self._undecoded.get(log.topics[0]) if log.topics else None
        if known is None:
            return None
        inputs = known[1]["inputs"]
        indexed = [each for each in inputs if each["indexed"]]
        data = [each for each in inputs if not each["indexed"]]
        values = dict(zip((each["name"] for each in data),
                          codec.decode(kinds_of({"inputs": data}), log.data), strict=True))  # fmt: skip
        for each, topic in zip(indexed, log.topics[1:], strict=True):
            (kind,) = kinds_of({"inputs": [each]})
            static = not (kind in ("string", "bytes") or kind.endswith(("]", ")")))
            values[each["name"]] = codec.decode([kind], topic)[0] if static else topic
        shown = {each["name"]: shape(each, values[each["name"]]) for each in inputs}
        return Event(known[1]["name"], shown, to_checksum_address(log.address))

    def _reverted(self, error: str, output: bytes) -> Reverted:
        reason = revert_reason(output)
        if reason is not None or not output:
            return Reverted("Error" if reason else error, {"reason": reason}, output)
        for contract in self.contracts:
            refused = decode_error(contract.abi, output)
            if refused.name != "Unknown":
                arguments = {k: checksummed(v) for k, v in refused.arguments.items()}
                return Reverted(refused.name, arguments, output)
        return Reverted("Unknown", {"data": output}, output)


# --- values


def canonical(address: str) -> Address:
    """Text to 20 bytes."""
    return Address(bytes.fromhex(address[2:]))


def plain(value: Any) -> Any:
    """Contracts stand for their addresses, dicts for structs."""
    if isinstance(value, Contract):
        return value.address
    if isinstance(value, dict):
        return tuple(plain(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return type(value)(plain(each) for each in value)
    return value


def encoded(entry: dict[str, Any], arguments: tuple[Any, ...]) -> bytes:
    """Calldata."""
    return keccak256(signature(entry).encode())[:4] + codec.encode(kinds_of(entry), plain(arguments))


def decoded(entry: dict[str, Any], output: bytes) -> Any:
    """What a function returned: nothing, a value, or a tuple; structs are dicts."""
    outputs = entry["outputs"]
    values = codec.decode(kinds_of({"inputs": outputs}), output) if outputs else ()
    shown = tuple(shape(each, value) for each, value in zip(outputs, values, strict=True))
    return shown[0] if len(shown) == 1 else shown or None


def shape(entry: dict[str, Any], value: Any) -> Any:
    """A decoded value with names for a struct's members and checksummed addresses."""
    kind = entry["type"]
    if kind.endswith("]"):
        inner = {**entry, "type": kind[: kind.rindex("[")]}
        return [shape(inner, each) for each in value]
    if kind == "tuple":
        return {
            each["name"]: shape(each, part) for each, part in zip(entry["components"], value, strict=True)
        }
    return to_checksum_address(value) if kind == "address" else value


def checksummed(value: Any) -> Any:
    """Addresses as eth_abi gives them, with their checksum."""
    is_address = isinstance(value, str) and value.startswith("0x") and len(value) == 42
    return to_checksum_address(value) if is_address else value
