"""What the chain must hold, computed apart from the node: arithmetic on a ledger, tries by py-trie.

Knows plain transfers and one token contract, whose storage it keeps by Solidity's rules. From the node it
takes the blocks themselves and the gas that contract calls used; everything that follows, it computes:
nonces, wei, token balances, the state root, the receipts root and the transactions root of every block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth_utils import keccak
from trie import HexaryTrie

TRANSFER = keccak(text="transfer(address,uint256)")[:4]
TRANSFERRED = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
NO_CODE = keccak(b"")
TRANSFER_GAS = 21_000


class Wrong(AssertionError):
    """The chain holds something else than it must."""


@dataclass
class Owner:
    """One account."""

    nonce: int = 0
    wei: int = 0
    tokens: int = 0


@dataclass
class Token:
    """The contract: slot 0 holds the supply, slot 1 is the mapping of balances."""

    address: bytes
    code_hash: bytes
    storage: HexaryTrie = field(default_factory=lambda: HexaryTrie({}))

    def put(self, owner: bytes, amount: int) -> None:
        """Set a balance."""
        self._set(keccak(owner.rjust(32, b"\0") + (1).to_bytes(32, "big")), amount)

    def put_supply(self, amount: int) -> None:
        """Set slot 0."""
        self._set(bytes(32), amount)

    def _set(self, slot: bytes, value: int) -> None:
        if value:
            self.storage[keccak(slot)] = rlp.encode(value)
        else:
            del self.storage[keccak(slot)]


class Model:
    """The state after block `number`, and what the next block must make of it."""

    def __init__(self, balances: Mapping[str, int], signer_of: Any) -> None:
        """Block 0; `signer_of` gives the address that a block's fees go to."""
        self.number = 0
        self.owners = {raw(address): Owner(wei=wei) for address, wei in balances.items()}
        self.token: Token | None = None
        self.hashes: list[str] = [""]
        """Hash of each block, by number."""
        self.mined: dict[str, int] = {}
        """Number of the block of each transaction."""
        self._signer_of = signer_of
        self._state = HexaryTrie({})
        for address in self.owners:
            self._store(address)

    @property
    def root(self) -> str:
        """The state root, 0x…"""
        return "0x" + self._state.root_hash.hex()

    def apply(
        self, block: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]], raws: Sequence[bytes]
    ) -> None:
        """Go on by one block; Wrong names what it holds and should not."""
        number = int(block["number"], 16)
        self._same(number, "number", number, self.number + 1)
        if self.number:
            self._same(number, "parent", block["parentHash"], self.hashes[-1])
        author, base_fee, used = raw(self._signer_of(block)), int(block["baseFeePerGas"], 16), 0
        touched = {author}
        for tx, receipt in zip(block["transactions"], receipts, strict=True):
            touched |= self._transact(tx, receipt, author, base_fee)
            used += int(receipt["gasUsed"], 16)
            self._same(number, "cumulative gas", int(receipt["cumulativeGasUsed"], 16), used)
            self._same(number, "block of a receipt", receipt["blockHash"], block["hash"])
            self.mined[tx["hash"]] = number
        self._same(number, "gas", int(block["gasUsed"], 16), used)
        for address in touched:
            self._store(address)
        self._same(number, "state root", block["stateRoot"], self.root)
        self._same(
            number, "receipts root", block["receiptsRoot"], ordered_root(map(encoded_receipt, receipts))
        )
        self._same(number, "transactions root", block["transactionsRoot"], ordered_root(raws))
        self.number = number
        self.hashes.append(block["hash"])

    def _transact(
        self, tx: Mapping[str, Any], receipt: Mapping[str, Any], author: bytes, base_fee: int
    ) -> set[bytes]:
        where, sender, gas = tx["hash"], raw(tx["from"]), int(receipt["gasUsed"], 16)
        payer, value = self._owner(sender), int(tx["value"], 16)
        self._same(where, "nonce", int(tx["nonce"], 16), payer.nonce)
        self._same(where, "status", receipt["status"], "0x1")
        price = _price(tx, base_fee)
        payer.nonce += 1
        payer.wei -= gas * price + value
        self._owner(author).wei += gas * (price - base_fee)
        if tx["to"] is None:
            self._deploy(tx, receipt, sender)
            return {sender, raw(receipt["contractAddress"])}
        to, data = raw(tx["to"]), raw(tx["input"])
        self._owner(to).wei += value
        if self.token is None or to != self.token.address:
            self._same(where, "gas of a transfer", gas, TRANSFER_GAS)
            self._same(where, "logs of a transfer", receipt["logs"], [])
        else:
            self._move(tx, receipt, sender, data)
        if payer.wei < 0:
            raise Wrong(f"{where}: the sender had not so much")
        return {sender, to}

    def _deploy(self, tx: Mapping[str, Any], receipt: Mapping[str, Any], sender: bytes) -> None:
        nonce, data = int(tx["nonce"], 16), raw(tx["input"])
        address = keccak(rlp.encode([sender, nonce]))[12:]
        self._same(tx["hash"], "address of the contract", raw(receipt["contractAddress"]), address)
        # What the constructor returns follows the constructor in its code, behind the first INVALID.
        supply = int.from_bytes(data[-32:], "big")
        runtime = data[data.index(b"\xf3\xfe") + 2 : -32]
        self.token = Token(address, keccak(runtime))
        self.token.put_supply(supply)
        self.token.put(sender, supply)
        self._owner(sender).tokens = supply
        self._owner(address).nonce = 1

    def _move(self, tx: Mapping[str, Any], receipt: Mapping[str, Any], sender: bytes, data: bytes) -> None:
        assert self.token is not None
        self._same(tx["hash"], "called function", data[:4], TRANSFER)
        to, amount = data[16:36], int.from_bytes(data[36:68], "big")
        self._owner(sender).tokens -= amount
        self._owner(to).tokens += amount
        for owner in (sender, to):
            self.token.put(owner, self._owner(owner).tokens)
        (log,) = receipt["logs"]
        topics = [TRANSFERRED, "0x" + sender.rjust(32, b"\0").hex(), "0x" + to.rjust(32, b"\0").hex()]
        self._same(tx["hash"], "topics", log["topics"], topics)
        self._same(tx["hash"], "data of the log", int(log["data"], 16), amount)

    def _owner(self, address: bytes) -> Owner:
        return self.owners.setdefault(address, Owner())

    def _store(self, address: bytes) -> None:
        owner = self._owner(address)
        if owner.nonce == owner.wei == 0:
            return  # an empty account is none
        storage, code = _EMPTY_ROOT, NO_CODE
        if self.token is not None and address == self.token.address:
            storage, code = self.token.storage.root_hash, self.token.code_hash
        self._state[keccak(address)] = rlp.encode([owner.nonce, owner.wei, storage, code])

    def _same(self, where: object, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise Wrong(f"{where}: {what} is {found!r} where {wanted!r} is right")


def raw(text: str) -> bytes:
    """Bytes of 0x…"""
    return bytes.fromhex(text[2:])


def ordered_root(items: Any) -> str:
    """Root of a list as headers commit to it, 0x…"""
    trie = HexaryTrie({})
    for place, item in enumerate(items):
        trie[rlp.encode(place)] = item
    return "0x" + trie.root_hash.hex()


def encoded_receipt(receipt: Mapping[str, Any]) -> bytes:
    """As the receipts root commits to it (EIP-2718)."""
    logs = [
        [raw(log["address"]), [raw(topic) for topic in log["topics"]], raw(log["data"])]
        for log in receipt["logs"]
    ]
    fields = [
        int(receipt["status"], 16),
        int(receipt["cumulativeGasUsed"], 16),
        raw(receipt["logsBloom"]),
        logs,
    ]
    kind = int(receipt["type"], 16)
    return (bytes((kind,)) if kind else b"") + rlp.encode(fields)


def _price(tx: Mapping[str, Any], base_fee: int) -> int:
    if tx["type"] == "0x2":
        cap, tip = int(tx["maxFeePerGas"], 16), int(tx["maxPriorityFeePerGas"], 16)
        return min(cap, base_fee + tip)
    return int(tx["gasPrice"], 16)


_EMPTY_ROOT = HexaryTrie({}).root_hash
