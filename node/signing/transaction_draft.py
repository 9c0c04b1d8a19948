"""A transaction as a client asks for it to be signed: JSON as eth_signTransaction takes it -> what is signed.

All that is signed is stated: nonce, gas and fees are not guessed here. The chain is the key's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.primitives import rlp
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import AccessList, TransactionType

KNOWN: Final = frozenset(
    {
        "from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce",
        "data", "input", "chainId", "accessList", "type",
    }
)  # fmt: skip
UINT_BITS: Final = 256
SHORT_BITS: Final = 64
"""Of nonce and gas."""


class BadDraft(ValueError):
    """The request names no transaction that could be signed; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionDraft:
    """Everything but the signature."""

    type: TransactionType
    chain_id: int
    nonce: int
    fees: tuple[int, ...]
    """Gas price, or priority fee and fee cap."""
    gas_limit: int
    to: Address | None
    value: int
    data: bytes
    access_list: AccessList = ()

    @property
    def digest(self) -> Hash32:
        """What is signed (EIP-155, EIP-2930, EIP-1559)."""
        if self.type is TransactionType.LEGACY:
            return keccak256(rlp.encode([*self._core(), self.chain_id, 0, 0]))
        return keccak256(bytes([self.type]) + rlp.encode([*self._core(), self.access_list]))

    def signed(self, signature: bytes) -> bytes:
        """The transaction with its 65-byte signature, as eth_sendRawTransaction takes it."""
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        if self.type is TransactionType.LEGACY:
            return rlp.encode([*self._core(), 35 + 2 * self.chain_id + signature[64], r, s])
        return bytes([self.type]) + rlp.encode([*self._core(), self.access_list, signature[64], r, s])

    def _core(self) -> list[rlp.Encodable]:
        first: list[rlp.Encodable] = [] if self.type is TransactionType.LEGACY else [self.chain_id]
        return [*first, self.nonce, *self.fees, self.gas_limit, self.to or b"", self.value, self.data]


def read_draft(fields: Mapping[str, Any], chain_id: int) -> TransactionDraft:
    """The draft in a JSON object; BadDraft for what is missing, unknown, in doubt or of another chain."""
    unknown = sorted(set(fields) - KNOWN)
    if unknown:
        raise BadDraft(f"{unknown[0][:40]!r} is not known here")
    if "chainId" in fields and _number(fields, "chainId") != chain_id:
        raise BadDraft(f"chain {_number(fields, 'chainId')}; this key signs for chain {chain_id}")
    is_market = "maxFeePerGas" in fields
    if is_market == ("gasPrice" in fields):
        raise BadDraft("either gasPrice, or maxFeePerGas and maxPriorityFeePerGas")
    fees: tuple[int, ...]
    if is_market:
        kind = TransactionType.FEE_MARKET
        fees = (_number(fields, "maxPriorityFeePerGas"), _number(fields, "maxFeePerGas"))
    else:
        kind = TransactionType.ACCESS_LIST if fields.get("accessList") else TransactionType.LEGACY
        fees = (_number(fields, "gasPrice"),)
    if "type" in fields and _number(fields, "type") != kind:
        raise BadDraft(f"type {fields['type']}; its fees and access list make it {kind:#x}")
    return TransactionDraft(
        type=kind,
        chain_id=chain_id,
        nonce=_number(fields, "nonce", SHORT_BITS),
        fees=fees,
        gas_limit=_number(fields, "gas", SHORT_BITS),
        to=_recipient(fields.get("to")),
        value=_number(fields, "value") if "value" in fields else 0,
        data=_data(fields),
        access_list=_access_list(fields.get("accessList") or []),
    )


def _number(fields: Mapping[str, Any], name: str, bits: int = UINT_BITS) -> int:
    value = fields.get(name)
    try:
        number = int(value, 16) if isinstance(value, str) and value.startswith("0x") else None
    except ValueError:
        number = None
    if number is None or not 0 <= number < 1 << bits:
        raise BadDraft(f"{name} is {str(value)[:40]!r}; a quantity in hex is needed")
    return number


def _bytes(value: object, name: str, size: int | None = None) -> bytes:
    try:
        raw = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else None
    except ValueError:
        raw = None
    if raw is None or (size is not None and len(raw) != size):
        raise BadDraft(f"{name} is {str(value)[:44]!r}; hex is needed{f' of {size} bytes' if size else ''}")
    return raw


def _recipient(value: object) -> Address | None:
    return None if value in (None, "", "0x") else Address(_bytes(value, "to", 20))


def _data(fields: Mapping[str, Any]) -> bytes:
    given = [_bytes(fields[name], name) for name in ("data", "input") if fields.get(name) is not None]
    if len(set(given)) > 1:
        raise BadDraft("data and input differ")
    return given[0] if given else b""


def _access_list(value: object) -> AccessList:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BadDraft("accessList is a list of objects")
    return tuple(
        (
            Address(_bytes(entry.get("address"), "address", 20)),
            tuple(Hash32(_bytes(key, "storageKeys", 32)) for key in entry.get("storageKeys") or ()),
        )
        for entry in value
    )
