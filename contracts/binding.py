"""What every generated binding is made of: reads, writes, events and errors of one contract over web3."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from eth_abi import abi as codec
from web3 import Web3
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD
from web3.types import TxParams, TxReceipt

from contracts.artifacts import load
from contracts.generate import canonical, signature
from node.primitives.crypto import keccak256

Value: TypeAlias = Any
"""A struct: a tuple of its members on the way in, with names on the way out."""


class Refused(Exception):
    """The contract refused: the error's name and its arguments by name."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        super().__init__(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
        self.name = name
        self.arguments = arguments


@dataclass(frozen=True, slots=True)
class Write:
    """A state-changing call, not yet sent."""

    target: "Binding"
    function: Any
    """web3's bound function."""

    @property
    def data(self) -> bytes:
        """The calldata: what a proposal or a multisignature carries."""
        return bytes.fromhex(self.function._encode_transaction_data()[2:])

    def transaction(self, fields: TxParams) -> TxParams:
        """The transaction with missing fields filled in; Refused when it would fail."""
        try:
            built: TxParams = self.function.build_transaction(fields)
        except ContractCustomError as error:
            raise self.target.refusal(error) from error
        return built

    def transact(self, fields: TxParams) -> bytes:
        """Send it from an account that the provider signs for; the transaction's hash."""
        try:
            return bytes(self.function.transact(fields))
        except ContractCustomError as error:
            raise self.target.refusal(error) from error


class Binding:
    """One contract at one address."""

    NAME: ClassVar[str] = ""

    def __init__(self, web3: Web3, address: str) -> None:
        self.address = Web3.to_checksum_address(address)
        self.abi = load(self.NAME).abi
        self.contract = web3.eth.contract(address=self.address, abi=self.abi, decode_tuples=True)

    def events(self, receipt: TxReceipt) -> list[tuple[str, dict[str, Any]]]:
        """(name, arguments by name) of this contract's events in a receipt, in order."""
        found = [
            (log["logIndex"], log["event"], dict(log["args"]))
            for entry in self.abi
            if entry["type"] == "event"
            for log in self.contract.events[signature(entry)]().process_receipt(receipt, errors=DISCARD)
            if log["address"] == self.address
        ]
        return [(name, arguments) for _, name, arguments in sorted(found, key=lambda each: each[0])]

    def refusal(self, error: ContractCustomError) -> Refused:
        """A revert, decoded by this contract's errors; unknown ones keep their data."""
        text = error.data if isinstance(error.data, str) else "0x"
        return decode_error(self.abi, bytes.fromhex(text[2:]))

    def _read(self, text: str, *arguments: Any) -> Any:
        try:
            return self.contract.get_function_by_signature(text)(*arguments).call()
        except ContractCustomError as error:
            raise self.refusal(error) from error

    def _write(self, text: str, *arguments: Any) -> Write:
        return Write(self, self.contract.get_function_by_signature(text)(*arguments))


def decode_error(abi: list[dict[str, Any]], data: bytes) -> Refused:
    """A custom error by its selector: Refused("Unknown", {"data": …}) when the ABI has none such."""
    for entry in abi:
        if entry["type"] == "error" and keccak256(signature(entry).encode())[:4] == data[:4]:
            inputs = entry["inputs"]
            values = codec.decode(kinds_of(entry), data[4:])
            return Refused(
                entry["name"], {each["name"]: value for each, value in zip(inputs, values, strict=True)}
            )
    return Refused("Unknown", {"data": data})


def kinds_of(entry: Mapping[str, Any]) -> list[str]:
    """Canonical types of an ABI entry's inputs, as eth-abi wants them."""
    return [canonical(each) for each in entry["inputs"]]
