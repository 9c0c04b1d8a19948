"""A Clique chain as JSON-RPC answers, with real seals, so that checks have something true to judge."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from consensus.clique.extra_data import seal_hash, sealed, unsealed
from devnet.client import RpcError, Unreachable
from devnet.keys import sealing_key
from devnet.layout import Layout, NodeFiles
from devnet.manifest import Accounts, Network, NodePlan
from devnet.network import RunningNetwork
from node.primitives.block import EMPTY_OMMERS_HASH, Header
from node.primitives.crypto import PrivateKey
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, hex_of

NAMES = ("alpha", "beta", "gamma", "delta")


def network() -> Network:
    """Four validators, one funded account, a period too short to wait for."""
    return Network(
        name="fake",
        chain_id=7,
        period_s=0,
        seed="fake",
        accounts=Accounts(count=1),
        nodes=tuple(NodePlan(name=name) for name in NAMES),
    )


def chain(length: int) -> list[Header]:
    """Sealed headers 0 to `length`, every signer in turn."""
    keys = sorted((sealing_key("fake", name) for name in NAMES), key=lambda key: key.address)
    headers = [_header(0, ZERO_HASH, unsealed(b"", [key.address for key in keys]))]
    for number in range(1, length + 1):
        header = _header(number, headers[-1].hash, unsealed(b""))
        headers.append(seal(header, keys[number % len(keys)]))
    return headers


def seal(header: Header, key: PrivateKey) -> Header:
    """The header, sealed."""
    return sealed(header, key.sign(seal_hash(header)))


def _header(number: int, parent: bytes, extra_data: bytes) -> Header:
    return Header(
        parent_hash=parent,  # type: ignore[arg-type]
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=ZERO_ADDRESS,
        state_root=ZERO_HASH,
        transactions_root=ZERO_HASH,
        receipts_root=ZERO_HASH,
        logs_bloom=bytes(256),
        difficulty=2,
        number=number,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=2 * number,
        extra_data=extra_data,
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=7,
    )


class FakeClient:
    """One node's answers; tests change what they are about."""

    def __init__(self, headers: Sequence[Header]) -> None:
        self.headers = list(headers)
        self.head = max(0, len(headers) - 10)
        self.down = False
        self.changed: dict[str, Callable[..., Any]] = {}

    def call(self, method: str, *params: Any) -> Any:
        if self.down:
            raise Unreachable("fake", "down")
        if method in self.changed:
            return self.changed[method](*params)
        return getattr(self, method)(*params)

    def close(self) -> None:
        pass

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        answers: list[Any] = []
        for method, params in requests:
            try:
                answers.append(self.call(method, *params))
            except RpcError as error:
                answers.append(error)
        return answers

    def eth_blockNumber(self) -> str:
        # Somebody asks, so time passes: the next answer is a block further.
        self.head = min(self.head + 1, len(self.headers) - 1)
        return hex(self.head)

    def net_peerCount(self) -> str:
        return "0x3"

    def eth_chainId(self) -> str:
        return "0x7"

    def eth_getBlockByNumber(self, number: str, full: bool) -> dict[str, Any]:
        header = self.headers[int(number, 16)]
        transactions = ["0x" + "aa" * 32] if header.number % 3 == 0 else []
        return block_json(header) | {"transactions": transactions}

    def eth_getBlockReceipts(self, number: str) -> list[dict[str, str]]:
        return [{"status": "0x1", "blockNumber": number}]

    def clique_getSigners(self, number: str) -> list[str]:
        return sorted(hex_of(sealing_key("fake", name).address) for name in NAMES)

    def eth_getTransactionCount(self, address: str, block: str) -> str:
        return "0x5"

    def eth_getBalance(self, address: str, block: str) -> str:
        return "0x64"


class FakeNetwork(RunningNetwork):
    """Four nodes that agree until a test changes one."""

    def __init__(self, layout: Layout, length: int = 40) -> None:
        super().__init__(layout)
        headers = chain(length)
        self.fakes = {name: FakeClient(headers) for name in NAMES}
        self.clients = dict(self.fakes)  # type: ignore[arg-type]

    def is_ours(self, node: NodeFiles) -> bool:
        return True


def block_json(header: Header) -> dict[str, Any]:
    """As eth_getBlockByNumber gives it."""
    assert header.base_fee_per_gas is not None
    return {
        "hash": hex_of(header.hash),
        "parentHash": hex_of(header.parent_hash),
        "sha3Uncles": hex_of(header.ommers_hash),
        "miner": hex_of(header.beneficiary),
        "stateRoot": hex_of(header.state_root),
        "transactionsRoot": hex_of(header.transactions_root),
        "receiptsRoot": hex_of(header.receipts_root),
        "logsBloom": hex_of(header.logs_bloom),
        "difficulty": hex(header.difficulty),
        "number": hex(header.number),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "extraData": hex_of(header.extra_data),
        "mixHash": hex_of(header.mix_hash),
        "nonce": hex_of(header.nonce),
        "baseFeePerGas": hex(header.base_fee_per_gas),
    }


def with_state_root(header: Header, root: bytes, key: PrivateKey) -> Header:
    """The same block with another state, sealed again."""
    return seal(replace(header, state_root=root, extra_data=unsealed(b"")), key)  # type: ignore[arg-type]
