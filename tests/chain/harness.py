"""Real chains for tests: a Clique genesis with funded accounts, real transactions, real seals.

    maker = ChainMaker()                                  # one signer, funded ACCOUNTS, MemoryKV, py-evm
    block = maker.extend([transfer(ACCOUNTS[0], 0)])      # built, sealed by whose turn it is, imported
    rival = maker.make(parent, [...], signer=KEYS[1])     # the same on any parent, imported too
    other = maker.open()                                  # another node of the same network, at genesis

Nothing is random and no clock is read: blocks are one period apart from genesis on.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount

from consensus.clique.extra_data import seal_hash, sealed, unsealed
from consensus.clique.rules import IN_TURN, NONCE_AUTHORISE, NONCE_DROP, OUT_OF_TURN, CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.effects import BuildBlock
from node.chain.execution import BuiltBlock
from node.chain.genesis_json import parse_genesis
from node.chain.opening import Chain, open_chain
from node.config.settings import ProductionSettings, StorageSettings
from node.execution.executor import Executor
from node.execution.py_evm import PyEvmExecutor
from node.primitives.block import Block, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address
from node.primitives.transaction import Transaction, decode_transaction
from node.production.builder import BlockBuilder
from node.storage.kv import KeyValue
from node.storage.memory import MemoryKV

CHAIN_ID: Final = 1337
PERIOD_S: Final = 2
GENESIS_TIME: Final = 1_700_000_000
ETHER: Final = 10**18
GWEI: Final = 10**9

KEYS: Final = tuple(
    sorted((PrivateKey(keccak256(b"signer %d" % i)) for i in range(7)), key=lambda key: key.address)
)
"""Signers' keys, ascending by address: the order of turns when all of them, or the first few, are signers."""
ACCOUNTS: Final[tuple[LocalAccount, ...]] = tuple(
    Account.from_key(keccak256(b"account %d" % i)) for i in range(10)
)
"""Funded with 1,000 ether each."""


def make_genesis(
    signers: Sequence[PrivateKey] = KEYS[:1],
    *,
    alloc: dict[str, Any] | None = None,
    gas_limit: int = 30_000_000,
    **config: Any,
) -> dict[str, Any]:
    """genesis.json of a Clique network of these signers; `config` goes into its section of that name."""
    funded: dict[str, Any] = {account.address: {"balance": str(1000 * ETHER)} for account in ACCOUNTS}
    listed = b"".join(sorted(key.address for key in signers))
    return {
        "config": {"chainId": CHAIN_ID, "clique": {"period": PERIOD_S, "epoch": 30_000}, **config},
        "timestamp": GENESIS_TIME,
        "extraData": (bytes(32) + listed + bytes(65)).hex(),
        "gasLimit": gas_limit,
        "difficulty": 1,
        "alloc": {**funded, **(alloc or {})},
    }


def make_spec(signers: Sequence[PrivateKey] = KEYS[:1], **more: Any) -> ChainSpec:
    """The same as a ChainSpec."""
    return parse_genesis(make_genesis(signers, **more))


def sign(account: LocalAccount, **fields: Any) -> Transaction:
    """A transaction that eth-account signed: fee-market, or legacy where `gasPrice` is given.

    `chainId=None` leaves replay protection away (before EIP-155).
    """
    defaults: dict[str, Any] = {"chainId": CHAIN_ID, "gas": 21_000, "value": 0, "data": b""}
    if "gasPrice" not in fields:
        defaults |= {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI}
    given = {name: value for name, value in (defaults | fields).items() if value is not None}
    return decode_transaction(bytes(account.sign_transaction(given).raw_transaction))


def transfer(account: LocalAccount, nonce: int, *, value: int = 1, to: Address | None = None) -> Transaction:
    """A plain transfer; to an address of nobody unless told otherwise."""
    return sign(account, nonce=nonce, value=value, to=to or Address(b"\x99" * 20))


class Offer:
    """A fixed offer of transactions, as a pool would make it."""

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self._transactions = list(transactions)
        self.skipped: set[Address] = set()

    def __iter__(self) -> Iterator[Transaction]:
        return (tx for tx in self._transactions if tx.sender not in self.skipped)

    def skip_sender(self, sender: Address) -> None:
        """See production.builder.Offered."""
        self.skipped.add(sender)


class ChainMaker:
    """Makes blocks as validators would, and keeps the chain that they make."""

    def __init__(
        self,
        spec: ChainSpec | None = None,
        *,
        kv: KeyValue | None = None,
        settings: StorageSettings | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.spec = spec or make_spec()
        self.settings = settings or StorageSettings()
        self.executor = executor or PyEvmExecutor()
        self.rules = CliqueRules(self.spec.engine)
        self.built: BuiltBlock | None = None
        """What the last block was before it was sealed."""
        self.chain = self.open(kv)
        self.reader = self.chain.reader

    def open(self, kv: KeyValue | None = None, settings: StorageSettings | None = None) -> Chain:
        """A node of this network on its own database; its clock is far ahead, so that no block is early."""
        return open_chain(
            kv if kv is not None else MemoryKV(),
            self.spec,
            self.rules,
            self.executor,
            settings or self.settings,
            unix_time=lambda: GENESIS_TIME + 10**8,
        )

    @property
    def head(self) -> Header:
        """The head of the maker's own chain."""
        return self.reader.head

    def extend(self, transactions: Sequence[Transaction] = (), **options: Any) -> Block:
        """Make and import the next block on the head."""
        return self.make(self.head, transactions, **options)

    def extend_by(self, count: int) -> list[Block]:
        """So many blocks without transactions."""
        return [self.extend() for _ in range(count)]

    def make(self, parent: Header, transactions: Sequence[Transaction] = (), **options: Any) -> Block:
        """Make a block on any known parent and import it."""
        block = self.unimported(parent, transactions, **options)
        take(self.chain, [block])
        return block

    def unimported(
        self,
        parent: Header,
        transactions: Sequence[Transaction] = (),
        *,
        signer: PrivateKey | None = None,
        vote: tuple[Address, bool] | None = None,
        delay_s: int = 0,
        vanity: bytes = b"",
        gas_limit_target: int | None = None,
        permitted: bool = True,
    ) -> Block:
        """Make a block without importing it; `signer` defaults to who is in turn, or next after it.

        With `permitted` false, as by a member who does not ask the chain's rules for accounts.
        """
        state = self.reader.engine_state(parent.hash)
        assert isinstance(state, CliqueSnapshot)
        key = signer or self._signer_of(state, parent.number + 1)
        checkpoint = self.rules.is_checkpoint(parent.number + 1)
        target, authorise = vote or (ZERO_ADDRESS, False)
        in_turn = state.distance(parent.number + 1, key.address) == 0
        request = BuildBlock(
            parent=parent,
            timestamp=parent.timestamp + self.spec.engine.period_s + delay_s,
            author=key.address,
            beneficiary=target,
            nonce=NONCE_AUTHORISE if authorise else NONCE_DROP,
            difficulty=IN_TURN if in_turn else OUT_OF_TURN,
            extra_data=unsealed(vanity, state.signers if checkpoint else ()),
            mix_hash=ZERO_HASH,
            allow_empty=True,
        )
        settings = ProductionSettings(
            gas_limit_target=gas_limit_target or parent.gas_limit, build_budget_s=3600.0
        )
        permit = self.chain.account_rules.check if permitted else None
        builder = BlockBuilder(self.reader, self.chain.state, self.executor, settings, permit=permit)
        progress = builder.begin(request)
        progress.fill(Offer(transactions), lambda: False)
        self.built = built = progress.finish()
        assert len(built.block.transactions) == len(transactions), "a transaction does not fit into the block"
        return seal(built.block, key)

    def _signer_of(self, state: CliqueSnapshot, number: int) -> PrivateKey:
        able = [
            key for key in KEYS if state.last_signed(key.address) is None and key.address in state.signers
        ]
        return min(able, key=lambda key: state.distance(number, key.address) or 0)


def seal(block: Block, key: PrivateKey) -> Block:
    """The block with `key`'s seal."""
    return Block(sealed(block.header, key.sign(seal_hash(block.header))), block.body)


def take(chain: Chain, blocks: Sequence[Block]) -> None:
    """Import without an event loop; what is refused is raised."""
    chain.ledger.verify_headers([block.header for block in blocks], GENESIS_TIME + 10**8)
    taken = chain.ledger.take(blocks)
    if taken.change is not None:
        chain.reader.move_head(taken.change.head.header)
    if taken.failure is not None:
        raise taken.failure


def random_transfers(random: Random, nonces: dict[str, int], count: int) -> list[Transaction]:
    """Transfers between drawn accounts; `nonces` (by address) goes on from call to call."""
    made = []
    for _ in range(count):
        account = random.choice(ACCOUNTS)
        nonce = nonces.get(account.address, 0)
        nonces[account.address] = nonce + 1
        to = Address(bytes.fromhex(random.choice(ACCOUNTS).address[2:]))
        made.append(transfer(account, nonce, value=random.randrange(ETHER), to=to))
    return made
