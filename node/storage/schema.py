"""Every key of the database, on one page. The first byte names the table; numbers are big-endian.

Blocks (all branches; by number first, so that a growing chain is written in order)
  H  hash32                              -> number8                 where to find the rows below
  h  number8 hash32                      -> RLP header
  b  number8 hash32                      -> snappy(RLP body)
  r  number8 hash32                      -> snappy(RLP list of receipts as in eth/68)
  d  number8 hash32                      -> total difficulty, big-endian without leading zeros
The canonical chain
  c  number8                             -> hash32
  x  transaction_hash32                  -> number8 index4

State of one block, the base (node.state writes and explains these)
  a  address20                           -> account row
  s  address20 birth8 slot32             -> value, big-endian without leading zeros; never zero
  k  code_hash32                         -> code; kept for ever
  A  path                                -> RLP node of the account trie
  S  address20 birth8 path               -> RLP node of a storage trie
State of earlier blocks
  u  state_key "/" number8               -> the row before block `number` and before blocks that were written
                                            with it (node.state.before_images)
  B  number8                             -> hash32 root32: block and state root, as far back as state is kept
  K  number8                             -> the state keys with `u` rows of that number
  G  number8 address20 birth8            -> (empty): storage that died in block `number`, to be swept

Consensus and signing
  e  hash32                              -> engine state after the block
  p                                      -> the operator's standing proposals
  E  address20 number8                   -> two sealed headers of one signer at one height
  g  address20 chain_id8 kind            -> what was last signed
  R  address20 chain_id8                 -> changes of the rule by which the guard judges
  L  address20 chain_id8                 -> up to where a restored guard signs nothing
  i  address20 chain_id8 kind            -> what a key elsewhere was asked, until its answer is seen
  l  address20 chain_id8                 -> who held the lease of a key last
  f  address20 chain_id8                 -> Unix time at which the guard first had the key
Single rows
  m  name                                -> head, genesis, alloc, rules, base, oldest, version, synced, guard

A path is one ASCII hex digit per nibble from the trie's root. Where the length of a state key varies it ends
in a path, and no path contains "/": the `u` rows of one key lie together in block order, and the state after
block N is the row before the first change after N: one seek, and a few rows read on. Blocks whose state is
written together leave one `u` row for each key, under the number of the last of them.
Flat keys are plain (address, slot) because most reads come from the EVM, which knows no hashes, and because
an auditor can then list what the state holds; the trie, which needs keccak, is only touched once per block.
`birth` is the number of the block in which the account's storage last began to be non-empty (it stands in the
account row): storage that is destroyed is left behind under its old birth at no cost, still serves the past,
and is swept when that past is pruned.
"""

from typing import Final

from node.primitives.ids import Address, BlockNumber, Hash32

NUMBER_BYTES: Final = 8

HEAD_KEY: Final = b"mhead"
GENESIS_KEY: Final = b"mgenesis"
ALLOC_KEY: Final = b"malloc"
RULES_KEY: Final = b"mrules"
STATE_BASE_KEY: Final = b"mbase"
STATE_OLDEST_KEY: Final = b"moldest"
VERSION_KEY: Final = b"mversion"
SYNCED_KEY: Final = b"msynced"
GUARD_IDENTITY_KEY: Final = b"mguard"
PROPOSALS_KEY: Final = b"p"


def number_bytes(number: BlockNumber) -> bytes:
    """A block number as it stands in keys and values: 8 bytes, big-endian."""
    return number.to_bytes(NUMBER_BYTES, "big")


# --- blocks


def block_number_key(block_hash: Hash32) -> bytes:
    """H: hash -> number."""
    return b"H" + block_hash


def header_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    """h: a header."""
    return b"h" + number.to_bytes(NUMBER_BYTES, "big") + block_hash


def body_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    """b: a body."""
    return b"b" + number.to_bytes(NUMBER_BYTES, "big") + block_hash


def receipts_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    """r: a block's receipts."""
    return b"r" + number.to_bytes(NUMBER_BYTES, "big") + block_hash


def total_difficulty_key(number: BlockNumber, block_hash: Hash32) -> bytes:
    """d: difficulty of a block and all its ancestors."""
    return b"d" + number.to_bytes(NUMBER_BYTES, "big") + block_hash


def canonical_key(number: BlockNumber) -> bytes:
    """c: number -> hash of the canonical block."""
    return b"c" + number.to_bytes(NUMBER_BYTES, "big")


TRANSACTION_PREFIX: Final = b"x"
"""x: where a transaction stands in the canonical chain; its hash follows."""


def transaction_key(transaction_hash: Hash32) -> bytes:
    """x: of one transaction."""
    return TRANSACTION_PREFIX + transaction_hash


# --- state


def account_key(address: Address) -> bytes:
    """a: an account row."""
    return b"a" + address


def slot_prefix(address: Address, birth: BlockNumber) -> bytes:
    """s: the slots of one life of an account's storage; a slot's 32 bytes follow."""
    return b"s" + address + birth.to_bytes(NUMBER_BYTES, "big")


def code_key(code_hash: Hash32) -> bytes:
    """k: code by its hash."""
    return b"k" + code_hash


ACCOUNT_NODE_PREFIX: Final = b"A"
"""A: nodes of the account trie; the path follows."""


def storage_node_prefix(address: Address, birth: BlockNumber) -> bytes:
    """S: nodes of one life of an account's storage trie; the path follows."""
    return b"S" + address + birth.to_bytes(NUMBER_BYTES, "big")


def history_prefix(state_key: bytes) -> bytes:
    """u: the before-images of a state row; the block number follows."""
    return b"u" + state_key + b"/"


def state_block_key(number: BlockNumber) -> bytes:
    """B: which block the kept state at a number belongs to, and its root."""
    return b"B" + number.to_bytes(NUMBER_BYTES, "big")


def state_keys_key(number: BlockNumber) -> bytes:
    """K: the state keys that have before-images under this number."""
    return b"K" + number.to_bytes(NUMBER_BYTES, "big")


def dead_storage_prefix(number: BlockNumber) -> bytes:
    """G: storage that died in a block; address and birth follow."""
    return b"G" + number.to_bytes(NUMBER_BYTES, "big")


# --- consensus and signing


def engine_state_key(block_hash: Hash32) -> bytes:
    """e: an engine's state after a block."""
    return b"e" + block_hash


SIGN_RECORDS_PREFIX: Final = b"g"


def sign_record_key(address: Address, chain_id: int, kind: str) -> bytes:
    """g: what a key last signed on a chain, by kind of message."""
    return b"g" + address + chain_id.to_bytes(8, "big") + kind.encode()


def sign_rules_key(address: Address, chain_id: int) -> bytes:
    """R: when the rule of a key's guard on a chain was changed."""
    return b"R" + address + chain_id.to_bytes(8, "big")


SIGN_LOCKS_PREFIX: Final = b"L"


def sign_lock_key(address: Address, chain_id: int) -> bytes:
    """L: up to where a guard that was restored from a backup signs nothing."""
    return b"L" + address + chain_id.to_bytes(8, "big")


def sign_intent_key(address: Address, chain_id: int, kind: str) -> bytes:
    """i: what a key outside this process was asked to sign, until its answer is recorded."""
    return b"i" + address + chain_id.to_bytes(8, "big") + kind.encode()


def sign_lease_key(address: Address, chain_id: int) -> bytes:
    """l: who held the lease of a signer's key last."""
    return b"l" + address + chain_id.to_bytes(8, "big")


EVIDENCE_PREFIX: Final = b"E"


def evidence_key(signer: Address, number: BlockNumber) -> bytes:
    """E: the proof that a signer sealed twice at a height."""
    return EVIDENCE_PREFIX + signer + number.to_bytes(NUMBER_BYTES, "big")


def sign_first_key(address: Address, chain_id: int) -> bytes:
    """f: when a key came to this guard."""
    return b"f" + address + chain_id.to_bytes(8, "big")
