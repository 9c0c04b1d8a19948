"""The extension in C. Wrong lengths are ValueError; arguments are bytes-like."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

INTERFACE: int
"""See node.native."""

def keccak256(data: bytes, /) -> bytes:
    """Keccak-256."""

def keccak256_many(messages: Sequence[bytes], /) -> list[bytes]:
    """Keccak-256 of each, several at a time where the processor can."""

def blake2_rounds(state: bytes, message: bytes, first: int, count: int, /) -> bytes:
    """`count` rounds of BLAKE2b from number `first` on; 128 bytes each, words lowest byte first."""

def bind_secp256k1(context: int, parse: int, recover: int, serialize: int, /) -> None:
    """Take the addresses of libsecp256k1's context and functions; once, before `recover_addresses`."""

def recover_addresses(digests: bytes, signatures: bytes, /) -> list[bytes | None]:
    """Signers of digests of 32 bytes by signatures of 65 (r, s, y parity); None where there is none."""

def bn128_add(points: bytes, /) -> bytes | None:
    """The sum of two points of 64 bytes; None when one is no point."""

def bn128_multiply(point_and_factor: bytes, /) -> bytes | None:
    """The multiple of a point; None when it is none."""

def bn128_pair(pair: bytes, product: bytes, /) -> bytes | None:
    """A product of pairings (b"" for one) times that of 192 bytes; None when they are no points."""

def bn128_is_one(product: bytes, /) -> bool:
    """Whether a product of pairings is one."""

def rlp_encode(value: Any, /) -> bytes:
    """RLP of bytes, a number that is not negative, or a sequence of these."""

def rlp_decode(data: bytes, depth_max: int, lists_max: int, /) -> Any:
    """The one item that `data` encodes; ValueError for anything else."""

def trie_node(encoded: bytes, /) -> list[bytes] | tuple[str, bool, bytes]:
    """Sixteen references and a value, or nibbles, whether a leaf, and payload; ValueError for no node."""

def trie_leaf(nibbles: str, value: bytes, /) -> bytes:
    """A leaf's encoding."""

def trie_extension(nibbles: str, child: bytes, /) -> bytes:
    """An extension's encoding; `child` is a reference."""

def trie_branch(items: Sequence[bytes], /) -> bytes:
    """A branch's encoding, of a list of seventeen encoded items."""

def trie_reference(encoded: bytes, /) -> bytes:
    """How a parent refers to an encoded node."""

def update_tries(
    read: Callable[[bytes], bytes | None],
    updates: Sequence[tuple[bytes, dict[bytes, bytes | None], bytes | None, bytes]],
    rows: dict[bytes, bytes | None],
    before: dict[bytes, bytes | None],
    /,
) -> list[bytes]:
    """For each (prefix, changes, root, packed changes) the new root; changed rows, and these rows before, are
    put into the dicts; see node.trie.rows. No row belongs to two of the tries. ValueError where rows do not
    fit: the dicts are as they were then."""

def layered_row(
    layers: tuple[dict[bytes, bytes | None], ...], beneath: Callable[[bytes], bytes | None], key: bytes, /
) -> bytes | None:
    """The row of the first layer that has the key, or what `beneath` answers."""

def held(known: dict[Any, Any], read: Callable[[Any], Any], key: Any, /) -> Any:
    """What a dict has for a key; where it has nothing, what is read, and put there."""

def slot_value(read: Callable[[bytes], bytes | None], prefix: bytes, slot: int, /) -> int:
    """The number in the row under the prefix and the slot's 32 bytes; 0 where there is none."""

def differing(now: dict[Any, Any], before: dict[Any, Any], /) -> dict[Any, Any]:
    """The entries of `now` whose values differ from those that `before` has; KeyError where it has none."""

def pack_images(
    into: dict[bytes, bytes | None],
    blocks: tuple[tuple[int, dict[bytes, bytes | None], dict[bytes, bytes | None]], ...],
    head: bytes,
    /,
) -> list[bytes]:
    """Put the newest rows and the before-images of blocks; the rows' keys. See node.state.before_images.

    ValueError where a block has not the same rows before and after, or is too far from the last.
    """

def leaves_of_accounts(
    accounts: Mapping[Any, Any],
    storage: Container[Any],
    wiped: Container[Any],
    held: Callable[[bytes], bytes | None],
    rows: dict[bytes, bytes | None],
    before: dict[bytes, bytes | None],
    /,
) -> tuple[bytes, list[Any]]:
    """Note accounts (address -> nonce, balance, code hash, or None) that differ from their rows as `held` has
    them: new and old row by key. The answer is the trie's leaves, packed as node.trie.rows has them, and the
    accounts that are left to Python; those in `storage` or `wiped` are passed over."""

def leaves_of_slots(
    slots: Mapping[int, int],
    prefix: bytes,
    held: Callable[[bytes], bytes | None],
    rows: dict[bytes, bytes | None],
    before: dict[bytes, bytes | None],
    /,
) -> bytes:
    """The same for slots, whose keys are the prefix and 32 bytes; 0 leaves no row."""

def bind_transaction(cls: type, names: tuple[str, ...], types: tuple[Any, ...], /) -> None:
    """Take the class of transactions, its slots in order, and its types by number; once, before these two."""

def transaction(encoded: bytes, /) -> Any:
    """An encoded transaction as an object. ValueError for what is none, and for what is left to Python."""

def transactions(encoded: bytes, count_max: int, /) -> tuple[Any, ...]:
    """All of an encoded list, at most `count_max`. ValueError as above."""

def bind_receipt(cls: type, names: tuple[str, ...], /) -> None:
    """Take the class of receipts and its slots in their order; once, before `encode_receipts`."""

def encode_receipts(receipts: Iterable[Any], /) -> list[bytes]:
    """The EIP-2718 envelopes of receipts, which remember them."""

def maker(cls: Any, names: tuple[str, ...], defaults: tuple[Any, ...], collected: bool, /) -> Any:
    """What makes objects of a class from the values of its fields, in their order: tuples, or objects with a
    slot for each name. The last fields have defaults, where a class stands for a new object of it."""

def recover_senders(encodings: list[bytes], /) -> list[bytes | None]:
    """Senders of encoded transactions; None where nobody signed. ValueError for what is left to Python."""

def rlp_split(data: bytes, count_max: int, /) -> list[bytes]:
    """The items of the list that `data` encodes, still encoded; ValueError for more, or for no list."""

def rlp_envelopes(envelopes: Iterable[bytes], /) -> bytes:
    """A list of these: as they are from 0xC0 on, encoded as strings otherwise."""

def logs_bloom(logs: Sequence[tuple[bytes, tuple[bytes, ...], bytes]], /) -> bytes:
    """256 bytes; a log is (address, topics, data)."""

def merge_blooms(blooms: Iterable[bytes], /) -> bytes:
    """The union of blooms of 256 bytes."""

def ordered_root(items: Sequence[bytes], /) -> bytes:
    """Root of the trie that maps rlp(0), rlp(1), ... to the items, of which there is one at least."""

def hash_of(*words: int) -> int:
    """Keccak-256 of at most eight numbers below 2**256, 32 bytes each; OverflowError for larger ones."""

def word_at(data: bytes, offset: int, /) -> int:
    """32 bytes from an offset on, zeros past the end."""

def word_of(data: bytes | bytearray, /) -> int:
    """The number that at most 32 bytes are."""

def bytes_of(word: int, /) -> bytes:
    """A number below 2**256 in 32 bytes."""

def word_bytes(words: tuple[int, ...], /) -> tuple[bytes, ...]:
    """Each of them in 32 bytes."""

def bind_storage(
    sload: Callable[..., int],
    sstore: Callable[..., None],
    log_data: Callable[..., None],
    slot: int,
    warm: int,
    frame: type,
    world: type,
    slots: type,
    log: type,
    /,
) -> None:
    """Take the same in Python, the kinds of undo entries, and the classes; once, before what follows."""

def grow_account(accounts: dict[Any, Any], address: Any, nonces: int, wei: int, empty: Any, /) -> Any:
    """Add to an account's nonce and balance, or to those of an empty one for None; the account before."""

def sload(frame: Any, slot: int, /) -> int:
    """SLOAD from Berlin on; `frame` as in node.execution.evm."""

def bind_interpreter(interpret: Callable[..., Any], cold_block: type, /) -> None:
    """Take the same in Python, and the class of cold blocks; once, before `interpret`."""

def interpret(program: Any, pc: int, stack: list[int], frame: Any, /) -> Any:
    """Run cold code; see node.execution.evm.interpret."""

def sstore(frame: Any, slot: int, value: int, /) -> None:
    """SSTORE from London on."""

def log_data(frame: Any, data: bytes, topics: tuple[int, ...], /) -> None:
    """LOG0 to LOG4, paid for."""
