"""py-evm's own chain, stock but for one fault, under its own Clique rules: another opinion on our blocks."""

from collections.abc import Iterable
from typing import Any

# First, before anything of py-evm: it decides which libraries py-evm hashes and recovers with.
from node.execution import py_evm_backends  # noqa: F401  # isort: skip

import rlp
from eth.chains.base import Chain
from eth.consensus.clique import CliqueApplier, CliqueConsensusContext
from eth.db.atomic import AtomicDB
from eth.db.backends.memory import MemoryDB
from eth.vm.forks.london import LondonVM
from eth.vm.forks.london.blocks import LondonBlockHeader

from node.chain.genesis import genesis_block
from node.primitives.block import Header, encode_header
from node.primitives.chain_spec import ChainSpec


class _LondonVM(LondonVM):
    def _assign_block_rewards(self, block: Any) -> None:
        """Nothing: py-evm would add a reward of 0 to the header's coinbase, and so leave an empty account."""


def stock_chain(spec: ChainSpec) -> Any:
    """A chain of py-evm's at the network's genesis, on a dict; London rules from block 0."""
    header = genesis_block(spec).header
    params = {
        "difficulty": header.difficulty,
        "extra_data": header.extra_data,
        "gas_limit": header.gas_limit,
        "timestamp": header.timestamp,
        "coinbase": header.beneficiary,
        "nonce": header.nonce,
        "mix_hash": header.mix_hash,
        "base_fee_per_gas": header.base_fee_per_gas,
    }
    state = {
        address: {
            "balance": account.balance,
            "nonce": account.nonce,
            "code": account.code,
            "storage": dict(account.storage),
        }
        for address, account in spec.alloc.items()
    }
    chain = _kind(spec).from_genesis(AtomicDB(), params, state)
    assert chain.get_canonical_head().hash == header.hash, "the two do not agree on the genesis block"
    return chain


def stock_chain_on(spec: ChainSpec, header: Header, nodes: Iterable[tuple[bytes, bytes]]) -> Any:
    """The same where the state is given as trie nodes and code by hash: for states of millions."""
    genesis = rlp.decode(encode_header(header), sedes=LondonBlockHeader)
    chain = _kind(spec).from_genesis_header(AtomicDB(MemoryDB(dict(nodes))), genesis)
    assert chain.get_canonical_head().hash == header.hash, "the two do not agree on the genesis block"
    return chain


def _kind(spec: ChainSpec) -> Any:
    return Chain.configure(
        __name__="StockChain",
        vm_configuration=CliqueApplier().amend_vm_configuration(((0, _LondonVM),)),
        consensus_context_class=CliqueConsensusContext,
        chain_id=spec.chain_id,
    )


def stock_block(chain: Any, encoded: bytes) -> Any:
    """A block of ours as py-evm decodes it."""
    return rlp.decode(encoded, sedes=chain.get_vm().get_block_class())
