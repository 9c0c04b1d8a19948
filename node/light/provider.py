"""Where claims come from: what the light client asks of one upstream. Nothing here believes an answer.

`Provider` is the port; `RpcProvider` asks over JSON-RPC. It prefers raw encodings (debug_getRaw*), as they
need no rebuilding; where an upstream has none, JSON is encoded again and hashed, so that any client with the
standard eth_ methods serves. Which of the two it is, is found out at the first refusal.

An answer that cannot be read is a ChainError; hashes and proofs are compared by whoever asks (`reads`).
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from node.light.errors import InvalidClaim, UpstreamRefusal, Withheld
from node.light.from_json import (
    as_bytes,
    as_list,
    header_of_json,
    receipt_of_json,
)
from node.light.json_rpc import JsonRpc, Refusal
from node.light.reads import ProofClaim
from node.primitives.block import Header, decode_block, decode_header
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of
from node.primitives.receipt import Receipt, decode_receipt
from node.primitives.transaction import AccessList, Transaction, decode_transaction

HEADER_JSON_BYTES_MAX: Final = 32 * 1024
PROOF_JSON_BYTES_MAX: Final = 256 * 1024
CODE_JSON_BYTES_MAX: Final = 256 * 1024
SMALL_BYTES_MAX: Final = 64 * 1024
METHOD_NOT_FOUND: Final = -32601
ALREADY_KNOWN: Final = "already known"
"""geth's words, and ours, for a transaction that waits already."""


class Provider(Protocol):
    """One upstream's claims. Blocking; any thread. UpstreamFault, UpstreamRefusal or ChainError."""

    @property
    def name(self) -> str:
        """For reports; without credentials."""
        ...

    def chain_id(self) -> int:
        """Which chain it says it is on."""
        ...

    def head(self) -> Header:
        """Its newest header."""
        ...

    def header(self, block_hash: Hash32) -> Header | None:
        """The header with this hash."""
        ...

    def headers(self, first: BlockNumber, count: int) -> list[Header]:
        """Headers of its canonical chain by number."""
        ...

    def proofs(self, block_hash: Hash32, wanted: Sequence[tuple[Address, Sequence[int]]]) -> list[ProofClaim]:
        """Proofs of accounts and slots against one block's state."""
        ...

    def codes(self, block_hash: Hash32, addresses: Sequence[Address]) -> list[bytes]:
        """Code at addresses."""
        ...

    def transactions(self, header: Header) -> list[Transaction]:
        """All transactions of a block."""
        ...

    def receipts(self, header: Header) -> list[Receipt]:
        """All receipts of a block."""
        ...

    def place(self, tx_hash: Hash32) -> tuple[Hash32, int] | None:
        """In which block, and where in it, a transaction stands."""
        ...

    def send(self, tx: Transaction) -> None:
        """Hand a transaction on."""
        ...

    def access_list(self, call: dict[str, str], block_hash: Hash32) -> AccessList:
        """A hint what a call will read."""
        ...

    def last_exchange(self) -> tuple[bytes, bytes]:
        """What this thread asked last, and was answered: evidence."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class RpcProvider:
    """A Provider over JSON-RPC."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc
        self.name = rpc.name
        self._raw = True
        """Whether the debug_getRaw* methods are there, as far as we know."""

    def chain_id(self) -> int:
        """See the port."""
        return _number(self._rpc.call("eth_chainId", [], SMALL_BYTES_MAX))

    def head(self) -> Header:
        """See the port."""
        (found,) = self._headers(["latest"])
        if found is None:
            raise Withheld("it says it has no newest block")
        return found

    def header(self, block_hash: Hash32) -> Header | None:
        """See the port."""
        if not self._raw:
            answer = self._rpc.call("eth_getBlockByHash", [hex_of(block_hash), False], self._rpc.bytes_max)
            found = None if answer is None else header_of_json(answer)
        else:
            try:
                (found,) = self._headers([hex_of(block_hash)])
            except UpstreamRefusal:
                return None
        if found is not None and found.hash != block_hash:
            raise InvalidClaim(f"asked for header {hex_of(block_hash)}, it gives {hex_of(found.hash)}")
        return found

    def headers(self, first: BlockNumber, count: int) -> list[Header]:
        """See the port."""
        found = self._headers([hex(number) for number in range(first, first + count)])
        for number, header in enumerate(found, start=first):
            if header is None:
                raise Withheld(f"it has no block {number}, which lies below the head it tells of")
            if header.number != number:
                raise InvalidClaim(f"asked for header {number}, it gives {header.number}")
        return [header for header in found if header is not None]

    def proofs(self, block_hash: Hash32, wanted: Sequence[tuple[Address, Sequence[int]]]) -> list[ProofClaim]:
        """See the port."""
        requests = [
            ("eth_getProof", [hex_of(address), [f"0x{slot:064x}" for slot in slots], _by_hash(block_hash)])
            for address, slots in wanted
        ]
        room = sum(PROOF_JSON_BYTES_MAX * (1 + len(slots)) for _, slots in wanted)
        answers = self._rpc.batch(requests, min(room, self._rpc.bytes_max))
        return [
            _proof_claim(address, slots, self._result("eth_getProof", answer))
            for (address, slots), answer in zip(wanted, answers, strict=True)
        ]

    def codes(self, block_hash: Hash32, addresses: Sequence[Address]) -> list[bytes]:
        """See the port."""
        requests = [("eth_getCode", [hex_of(address), _by_hash(block_hash)]) for address in addresses]
        answers = self._rpc.batch(requests, CODE_JSON_BYTES_MAX * len(addresses))
        return [as_bytes(self._result("eth_getCode", answer)) for answer in answers]

    def transactions(self, header: Header) -> list[Transaction]:
        """See the port."""
        block = hex_of(header.hash)
        if self._raw:
            try:
                raw = self._rpc.call("debug_getRawBlock", [block], self._rpc.bytes_max)
                return list(decode_block(as_bytes(raw)).transactions)
            except UpstreamRefusal as refusal:
                self._note_missing(refusal)
        answer = self._rpc.call("eth_getBlockByHash", [block, False], self._rpc.bytes_max)
        if answer is None:
            raise Withheld(f"it does not give block {header.ref}")
        count = len(as_list(answer.get("transactions")))
        method = "eth_getRawTransactionByBlockHashAndIndex"
        raws = self._rpc.batch([(method, [block, hex(index)]) for index in range(count)], self._rpc.bytes_max)
        return [decode_transaction(as_bytes(self._result(method, raw))) for raw in raws]

    def receipts(self, header: Header) -> list[Receipt]:
        """See the port."""
        block = hex_of(header.hash)
        if self._raw:
            try:
                raws = as_list(self._rpc.call("debug_getRawReceipts", [block], self._rpc.bytes_max))
                return [decode_receipt(as_bytes(raw)) for raw in raws]
            except UpstreamRefusal as refusal:
                self._note_missing(refusal)
        answer = self._rpc.call("eth_getBlockReceipts", [block], self._rpc.bytes_max)
        if answer is None:
            raise Withheld(f"it does not give the receipts of block {header.ref}")
        return [receipt_of_json(each) for each in as_list(answer)]

    def place(self, tx_hash: Hash32) -> tuple[Hash32, int] | None:
        """See the port."""
        answer = self._rpc.call("eth_getTransactionByHash", [hex_of(tx_hash)], self._rpc.bytes_max)
        if answer is None or not isinstance(answer, dict) or answer.get("blockHash") is None:
            return None
        return Hash32(as_bytes(answer["blockHash"], 32)), _number(answer.get("transactionIndex"))

    def send(self, tx: Transaction) -> None:
        """See the port."""
        try:
            result = self._rpc.call("eth_sendRawTransaction", [hex_of(tx.encoded)], SMALL_BYTES_MAX)
        except UpstreamRefusal as refusal:
            if ALREADY_KNOWN in refusal.text:
                return  # it was taken before, and the answer was lost
            raise
        answer = as_bytes(result, 32)
        if answer != tx.hash:
            raise InvalidClaim(f"it took transaction {hex_of(tx.hash)} and calls it {hex_of(answer)}")

    def access_list(self, call: dict[str, str], block_hash: Hash32) -> AccessList:
        """See the port."""
        answer = self._rpc.call("eth_createAccessList", [call, _by_hash(block_hash)], self._rpc.bytes_max)
        if not isinstance(answer, dict):
            raise InvalidClaim("eth_createAccessList was answered with something else")
        return tuple(
            (
                Address(as_bytes(entry.get("address"), 20)),
                tuple(Hash32(as_bytes(key, 32)) for key in as_list(entry.get("storageKeys"))),
            )
            for entry in as_list(answer.get("accessList"))
            if isinstance(entry, dict)
        )

    def last_exchange(self) -> tuple[bytes, bytes]:
        """See the port."""
        return self._rpc.last_exchange()

    def close(self) -> None:
        """See the port."""
        self._rpc.close()

    # --- private

    def _headers(self, blocks: Sequence[str]) -> list[Header | None]:
        room = HEADER_JSON_BYTES_MAX * len(blocks)
        if self._raw:
            answers = self._rpc.batch([("debug_getRawHeader", [block]) for block in blocks], room)
            if not any(isinstance(each, Refusal) for each in answers):
                return [decode_header(as_bytes(each)) for each in answers]
            first = next(each for each in answers if isinstance(each, Refusal))
            refusal = UpstreamRefusal(self.name, "debug_getRawHeader", first.code, first.text)
            if not self._lacks(refusal):
                if len(blocks) == 1:
                    raise refusal
                return [
                    None if isinstance(each, Refusal) else decode_header(as_bytes(each)) for each in answers
                ]
            self._raw = False
        if blocks and len(blocks[0]) == 66:
            requests = [("eth_getBlockByHash", [block, False]) for block in blocks]
        else:
            requests = [("eth_getBlockByNumber", [block, False]) for block in blocks]
        # A block's JSON lists its transactions, too.
        answers = self._rpc.batch(requests, self._rpc.bytes_max)
        found = [self._result("eth_getBlockByNumber", each) for each in answers]
        return [None if each is None else header_of_json(each) for each in found]

    def _result(self, method: str, answer: Any) -> Any:
        if isinstance(answer, Refusal):
            raise UpstreamRefusal(self.name, method, answer.code, answer.text)
        return answer

    def _note_missing(self, refusal: UpstreamRefusal) -> None:
        """Go on without the raw methods where they are not there; other refusals are the answer."""
        if not self._lacks(refusal):
            raise refusal
        self._raw = False

    def _lacks(self, refusal: UpstreamRefusal) -> bool:
        return refusal.code == METHOD_NOT_FOUND or "not available" in refusal.text


def _by_hash(block_hash: Hash32) -> dict[str, str]:
    return {"blockHash": hex_of(block_hash)}


def _number(value: Any) -> int:
    if not isinstance(value, str) or len(value) > 66:
        raise InvalidClaim(f"{str(value)[:60]!r} where a quantity is expected")
    try:
        return int(value, 16)
    except ValueError:
        raise InvalidClaim(f"{value!r} where a quantity is expected") from None


def _proof_claim(address: Address, slots: Sequence[int], answer: Any) -> ProofClaim:
    if not isinstance(answer, dict):
        raise InvalidClaim("eth_getProof was answered with something else")
    entries = as_list(answer.get("storageProof"))
    if len(entries) != len(slots):
        raise InvalidClaim(f"{len(slots)} slots were asked for, {len(entries)} are proved")
    nodes = tuple(as_bytes(node) for node in as_list(answer.get("accountProof")))
    storage = []
    for slot, entry in zip(slots, entries, strict=True):
        if not isinstance(entry, dict):
            raise InvalidClaim("a storage proof that is none")
        storage.append((slot, tuple(as_bytes(node) for node in as_list(entry.get("proof")))))
    return ProofClaim(address, nodes, tuple(storage))
