"""The official BlockchainTests of London, through the same ledger as every block.

They are made for proof of work without its proof: what differs from our networks is added here and nowhere
else. `NoSeal` takes any header whose time moves on, `Rewarding` pays the author two ether a block. Blocks
with ommers, and rules of ethash's difficulty, have no place in our chains: cases that are about them are
skipped by name.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from node.chain.opening import Chain, open_chain
from node.config.settings import StorageSettings
from node.execution.evm.executor import FastExecutor
from node.execution.executor import BlockContext, BlockOutcome, BlockSession, Executor, Interrupted
from node.execution.py_evm import PyEvmExecutor
from node.primitives.block import Header, decode_block, decode_header
from node.primitives.chain_spec import ChainSpec, CliqueSpec, Fork, GenesisAccount, GenesisHeader
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Receipt
from node.primitives.rlp import split_list
from node.primitives.state import EMPTY_ACCOUNT, StateView
from node.primitives.transaction import Transaction
from node.storage.memory import MemoryKV
from tests.chain.harness import take
from tests.vectors import ethereum_test_files, load_json

REWARD_WEI: Final = 2 * 10**18
EXTRA_BYTES_MAX: Final = 32
SKIPPED: Final = {
    "DifficultyIsZero": "ethash difficulty",
    "wrongDifficulty": "ethash difficulty",
}


class NoSeal:
    """SealRules of a network where everybody may make every block."""

    def initial(self, checkpoint: Header) -> int:
        return 0

    def advance(self, state: int, parent: Header, header: Header) -> int:
        if header.timestamp <= parent.timestamp:
            raise ChainError("time does not move on")
        if len(header.extra_data) > EXTRA_BYTES_MAX:
            raise ChainError("too much extra data")
        return 0

    def author(self, header: Header) -> Address:
        return header.beneficiary

    def turn_distance(self, state: int) -> int:
        return 0

    def validators(self, state: int) -> tuple[Address, ...]:
        return ()

    def encode_state(self, state: int) -> bytes:
        return b""

    def decode_state(self, encoded: bytes) -> int:
        return 0


class RewardingPyEvm(PyEvmExecutor):
    """py-evm that pays the author of each block."""

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        return _RewardingSession(super().begin(context, parent), context.author, parent)


class RewardingFast(FastExecutor):
    """The fast executor, doing the same."""

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        return _RewardingSession(super().begin(context, parent), context.author, parent)


EXECUTORS: Final[dict[str, Callable[[], Executor]]] = {
    "py-evm": RewardingPyEvm,
    "fast": lambda: RewardingFast(PyEvmExecutor()),
}
both = pytest.mark.parametrize("executor", EXECUTORS)


class _RewardingSession:
    def __init__(self, inner: BlockSession, author: Address, parent: StateView) -> None:
        self._inner = inner
        self._author = author
        self._parent = parent

    @property
    def gas_used(self) -> int:
        return self._inner.gas_used

    def apply(self, tx: Transaction, interrupted: Interrupted | None = None) -> Receipt:
        return self._inner.apply(tx, interrupted)

    def finish(self) -> BlockOutcome:
        outcome = self._inner.finish()
        accounts = dict(outcome.changes.accounts)
        account = accounts.get(self._author, self._parent.account(self._author)) or EMPTY_ACCOUNT
        accounts[self._author] = account._replace(balance=account.balance + REWARD_WEI)
        return dataclasses.replace(outcome, changes=dataclasses.replace(outcome.changes, accounts=accounts))


def number(text: str) -> int:
    return int(text, 16)


def data(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def opened(case: dict[str, Any], executor: Executor) -> Chain:
    header = decode_header(split_list(data(case["genesisRLP"]))[0])
    spec = ChainSpec(
        chain_id=1,
        forks=((0, Fork.LONDON),),
        engine=CliqueSpec(1),
        genesis=GenesisHeader(
            extra_data=header.extra_data,
            difficulty=header.difficulty,
            gas_limit=header.gas_limit,
            timestamp=header.timestamp,
            nonce=int.from_bytes(header.nonce, "big"),
            mix_hash=header.mix_hash,
            beneficiary=header.beneficiary,
            base_fee_per_gas=header.base_fee_per_gas,
        ),
        alloc={Address(data(key)): account_of(entry) for key, entry in case["pre"].items()},
    )
    chain = open_chain(MemoryKV(), spec, NoSeal(), executor, StorageSettings())
    assert chain.reader.genesis.hash == data(case["genesisBlockHeader"]["hash"])
    return chain


def account_of(entry: dict[str, Any]) -> GenesisAccount:
    storage = {number(slot): number(value) for slot, value in entry["storage"].items()}
    return GenesisAccount(number(entry["balance"]), number(entry["nonce"]), data(entry["code"]), storage)


def has_ommers(case: dict[str, Any]) -> bool:
    return any(block.get("uncleHeaders") for block in case["blocks"])


def refusal(chain: Chain, block: bytes) -> str | None:
    try:
        take(chain, [decode_block(block)])
    except ChainError as error:
        return str(error)
    return None


def run(case: dict[str, Any], executor: Executor) -> None:
    chain = opened(case, executor)
    for entry in case["blocks"]:
        expected = next((text for key, text in entry.items() if key.startswith("expectException")), None)
        assert (refusal(chain, data(entry["rlp"])) is None) is (expected is None), expected
    assert chain.reader.head.hash == Hash32(data(case["lastblockhash"]))
    view = chain.reader.state_at(chain.reader.head.hash)
    for key, entry in case.get("postState", {}).items():
        account = view.account(Address(data(key)))
        assert account is not None, f"{key} is not there"
        assert (account.balance, account.nonce) == (number(entry["balance"]), number(entry["nonce"]))


@pytest.mark.parametrize("file", ethereum_test_files("BlockchainTests", "InvalidBlocks/bc[EI]*/*.json"))
@both
def test_london_headers_and_fees(file: Path, executor: str) -> None:
    run_file(file, executor)


@pytest.mark.long
@pytest.mark.parametrize("file", ethereum_test_files("BlockchainTests"))
@both
def test_london(file: Path, executor: str) -> None:
    run_file(file, executor)


def run_file(file: Path, executor: str) -> None:
    cases = {name: case for name, case in load_json(file).items() if case.get("network") == "London"}
    if not cases:
        pytest.skip("no case for London")
    if file.stem in SKIPPED:
        pytest.skip(SKIPPED[file.stem])
    ran = [run(case, EXECUTORS[executor]()) for case in cases.values() if not has_ommers(case)]
    if not ran:
        pytest.skip("about ommers, which our chains refuse")
