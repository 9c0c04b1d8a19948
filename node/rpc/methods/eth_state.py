"""eth_: what an account is worth at a block."""

from node.execution.executor import Interrupted
from node.primitives.ids import Address, hex_of
from node.primitives.state import EMPTY_ACCOUNT, Account, StateView, StorageProof
from node.rpc.backend import Backend
from node.rpc.blocks import BlockId, Tag, holds_of, read_block_id, wanted_header
from node.rpc.encoding import data_list_json
from node.rpc.jsonrpc import Json
from node.rpc.method import Method, Where
from node.rpc.params import Param, StorageKey, read_address, read_storage_key, read_storage_keys


def methods(backend: Backend) -> list[Method]:
    """getBalance, getCode, getStorageAt, getTransactionCount, getProof."""
    eth = _States(backend)
    address = Param(read_address)
    block = Param(read_block_id, Tag.LATEST)
    key, keys = Param(read_storage_key), Param(read_storage_keys)
    return [
        Method("eth_getBalance", eth.balance, (address, block)),
        Method("eth_getCode", eth.code, (address, block)),
        Method("eth_getStorageAt", eth.storage, (address, key, block)),
        Method("eth_getTransactionCount", eth.nonce, (address, block)),
        Method(
            "eth_getProof",
            eth.proof,
            (address, keys, block),
            Where.READ,
            holds=lambda _, __, block: holds_of(backend.chain, block),
        ),
    ]


class _States:
    def __init__(self, backend: Backend) -> None:
        self._chain = backend.chain
        self._state = backend.state
        self._pool = backend.pool

    def balance(self, address: Address, block: BlockId) -> Json:
        return hex(self._account(address, block).balance)

    def code(self, address: Address, block: BlockId) -> Json:
        view = self._view(block)
        account = view.account(address)
        return hex_of(view.code(account.code_hash)) if account else "0x"

    def storage(self, address: Address, key: StorageKey, block: BlockId) -> Json:
        return f"0x{self._view(block).storage(address, key.slot):064x}"

    def nonce(self, address: Address, block: BlockId) -> Json:
        if block is Tag.PENDING and self._pool is not None:
            return hex(self._pool.next_nonce(address))
        return hex(self._account(address, block).nonce)

    def proof(self, _: Interrupted, address: Address, keys: tuple[StorageKey, ...], block: BlockId) -> Json:
        header = wanted_header(self._chain, block)
        proof = self._state.proof(header, address, [key.slot for key in keys])
        return {
            "address": hex_of(proof.address),
            "accountProof": data_list_json(proof.nodes),
            "balance": hex(proof.balance),
            "codeHash": hex_of(proof.code_hash),
            "nonce": hex(proof.nonce),
            "storageHash": hex_of(proof.storage_root),
            "storageProof": [
                _storage_proof_json(key, slot) for key, slot in zip(keys, proof.storage, strict=True)
            ],
        }

    def _view(self, block: BlockId) -> StateView:
        return self._state.state_at(wanted_header(self._chain, block))

    def _account(self, address: Address, block: BlockId) -> Account:
        return self._view(block).account(address) or EMPTY_ACCOUNT


def _storage_proof_json(key: StorageKey, proof: StorageProof) -> Json:
    return {
        "key": f"0x{key.slot:064x}" if key.whole else hex(key.slot),
        "value": hex(proof.value),
        "proof": data_list_json(proof.nodes),
    }
