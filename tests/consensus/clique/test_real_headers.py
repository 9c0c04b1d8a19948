"""Headers of the public Goerli chain, sealed by other clients: hash, seal hash and author bit for bit.

Facts of that chain: genesis as go-ethereum v1.13.15 states it (`core/genesis.go`), blocks 1 to 6, 1000000 and
5102442 as JSON-RPC gave them to ethereumjs (`packages/block/test/testdata`). A hash is the one that the next
block names as its parent, or that JSON-RPC gave beside. The signers are named in eth-clients/goerli.
"""

from dataclasses import replace
from itertools import pairwise

import pytest

from consensus.clique.extra_data import (
    SEAL_BYTES,
    listed_signers,
    recover_author,
    seal_hash,
    sealed,
    unsealed,
)
from consensus.clique.rules import CliqueRules
from node.primitives.block import EMPTY_OMMERS_HASH, Header, decode_header, encode_header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.crypto import SECP256K1_N
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, Hash32


def unhex(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text))


EMPTY_ROOT = unhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
PARITY = Address(bytes.fromhex("e0a2bd4258d2768837baa26a28fe71dc079f84c7"))
INFURA = Address(bytes.fromhex("8b24eb4e6aae906058242d83e51fb077370c4720"))

GENESIS = Header(
    parent_hash=ZERO_HASH,
    ommers_hash=EMPTY_OMMERS_HASH,
    beneficiary=ZERO_ADDRESS,
    state_root=unhex("5d6cded585e73c4e322c30c2f782a336316f17dd85a4863b9d838d2d4b8b3008"),
    transactions_root=EMPTY_ROOT,
    receipts_root=EMPTY_ROOT,
    logs_bloom=bytes(256),
    difficulty=1,
    number=0,
    gas_limit=10_485_760,
    gas_used=0,
    timestamp=1_548_854_791,
    extra_data=unsealed(b'"Flexi is a thing" - Afri', [PARITY]),
    mix_hash=ZERO_HASH,
    nonce=bytes(8),
)
GENESIS_HASH = unhex("bf7e331f7f7c1dd2e05159666b3bf8bc7a8a3a9eb1d518969eab529dd9b88c1a")

# Timestamp, gas limit, seal, and the hash by which the next block names it.
FIRST_BLOCKS = [
    (
        0x5C530FFD,
        0x9FD801,
        "2bbf886181970654ed46e3fae0ded41ee53fec702c47431988a7ae80e6576f35"
        "52684f069af80ba11d36327aaf846d470526e4a1c461601b2fd4ebdcdc2b734a01",
        "8f5bab218b6bb34476f51ca588e9f4553a3a7ce5e13a66c660a5283e97e9a85a",
    ),
    (
        0x5C53100C,
        0x9FB00C,
        "fdd66d441eff7d4116fe987f0f10812fc68b06cc500ff71c492234b9a7b8b2f4"
        "5597190d97cd85f6daa45ac9518bef9f715f4bd414504b1a21d8c681654055df00",
        "e675f1362d82cdd1ec260b16fb046c17f61d8a84808150f5d715ccce775f575e",
    ),
    (
        0x5C53101B,
        0x9F8821,
        "2822e1b202411c38084d96c84302b8361ec4840a51cd2fad9cb4bd9921cad7e6"
        "4bc2e5dc7b41f3f75b33358be3aec718cf4d4317ace940e01b3581a95c9259ac01",
        "d5daa825732729bb0d2fd187a1b888e6bfc890f1fc5333984740d9052afb2920",
    ),
    (
        0x5C53102A,
        0x9F6040,
        "36de2cd22630823673cc49288ba6edab38d1d1fad4644e9559f46889afccc6ab"
        "24d57062e551164b458e7cfdfefbaeb554c1bd87ea2d6f72958e21481c1d735901",
        "fe43c87178f0f87c2be161389aa2d35f3065d330bb596a6d9e01529706bf040d",
    ),
    (
        0x5C531039,
        0x9F3869,
        "f44218148f5d6f7538e0d6cb8566ebae1945ffbcdd6397f1fe70b3ef1513cbf1"
        "6a473d6faf4e7183d46e4ac93d350d8d54cd7c2d89a3137e9aec00ffac8202c501",
        "573d5dc3a2376028b3b41bc922efeed44abcea77e271c06d0983c720c37376e5",
    ),
    (
        0x5C531048,
        0x9F109C,
        "8ca82e5e15355c3856da7c96c5aabed766f9acd0e4c71900af76e29b0f3d13e4"
        "55bdf2b2c8cf303c52fae61e28c5fedd72e1d7619df0c57d211413fd5f83656701",
        "424f04bb0888e7de91196789d5b84f1897daf05df182948b42e29d95f1d44fa2",
    ),
]


def bloom(bits: dict[int, int]) -> bytes:
    """256 bytes, of which these are not zero."""
    return bytes(bits.get(place, 0) for place in range(256))


BEFORE_LONDON = Header(
    parent_hash=unhex("9b6323bc7b5f651ad6c7943d776209323834b10d76a53e109a4a8982138d0e38"),
    ommers_hash=EMPTY_OMMERS_HASH,
    beneficiary=ZERO_ADDRESS,
    state_root=unhex("0535b699f40b9cb637fb89e0662281d63f10207d04f2371fd9c4cb9b7b15e9d6"),
    transactions_root=unhex("3ab7120d12e1fc07303508542602beb7eecfe8f262b83fd71eefe7d6205242ce"),
    receipts_root=unhex("da46cdd329bfedace32da95f2b344d314bc6f55f027d65f9f4ac04ee425e1f98"),
    logs_bloom=bloom(
        {25: 0x80, 33: 0x40, 38: 0x50, 81: 0x02, 96: 0x08, 117: 0x01, 121: 0x08, 123: 0x08}
        | {165: 0x01, 169: 0x50, 185: 0x20, 187: 0x04, 212: 0x80, 223: 0x10, 237: 0x20, 243: 0x08}
    ),
    difficulty=1,
    number=1_000_000,
    gas_limit=8_000_000,
    gas_used=187_574,
    timestamp=0x5D390640,
    extra_data=bytes.fromhex(
        "696e667572612d696f0000000000000000000000000000000000000000000000"
        "c321f5bc793e6eb41a4a319e8bd605aaa9316a24ad9b7d3af7b924176500fcf7"
        "1424f2833fdc64326fb1b2229bc70943fed8d8446e4803f6c65503f0a1535a0c00"
    ),
    mix_hash=ZERO_HASH,
    nonce=bytes(8),
)
AFTER_LONDON = Header(
    parent_hash=unhex("b8a6ba8f2d6c13be07a0580add9d9ccc8e4301bd1244e3b0da53d025ce926370"),
    ommers_hash=EMPTY_OMMERS_HASH,
    beneficiary=ZERO_ADDRESS,
    state_root=unhex("1ce2cb2fc266096dac2d41eda3e74220f693b1f05f963a1fee8e5230cbb9690e"),
    transactions_root=unhex("43fd7e89d018b7034792877bfee31aa4aeeeed66a4a770d617a470267a626b7c"),
    receipts_root=unhex("1e8cf75ab79f5c5bc40035d507a6d26e287fbc0530959afc0edcd84434131288"),
    logs_bloom=bloom({46: 0x20, 96: 0x80, 108: 0x40, 126: 0x02, 180: 0x20, 188: 0x08}),
    difficulty=1,
    number=5_102_442,
    gas_limit=30_000_000,
    gas_used=65_050,
    timestamp=0x60E652D7,
    extra_data=bytes.fromhex(
        "696e667572612d696f0000000000000000000000000000000000000000000000"
        "1da4547ff7dfdfe4c70a52e1f40d60d0259803e733aba7f5024ec05426501772"
        "5febb042946985654f62c284c010b56a7fb2cd43d0c8968dbd081a1d0db45d4b00"
    ),
    mix_hash=ZERO_HASH,
    nonce=bytes(8),
    base_fee_per_gas=7,
)


def first_headers() -> list[Header]:
    """Genesis and blocks 1 to 6."""
    headers = [GENESIS]
    for timestamp, gas_limit, signature, _ in FIRST_BLOCKS:
        header = replace(
            headers[-1],
            parent_hash=headers[-1].hash,
            number=headers[-1].number + 1,
            difficulty=2,
            timestamp=timestamp,
            gas_limit=gas_limit,
            extra_data=unsealed(b"Parity Tech Authority"),
        )
        headers.append(sealed(header, bytes.fromhex(signature)))
    return headers


def test_hashes_are_those_of_the_chain() -> None:
    expected = [GENESIS_HASH, *(unhex(block_hash) for *_, block_hash in FIRST_BLOCKS)]
    assert [header.hash for header in first_headers()] == expected


def test_genesis_lists_its_signer() -> None:
    assert listed_signers(GENESIS).addresses == (PARITY,)


def test_the_first_blocks_follow_from_genesis_by_the_rules() -> None:
    rules = CliqueRules(CliqueSpec(period_s=15))
    headers = first_headers()
    state = rules.initial(headers[0])
    for parent, header in pairwise(headers):
        state = rules.advance(state, parent, header)
    assert (state.number, state.author, state.turn_distance) == (6, PARITY, 0)


@pytest.mark.parametrize(
    ("header", "block_hash"),
    [
        pytest.param(
            BEFORE_LONDON,
            "c54c5b482baefc20932c8be06db0a7b22ce26283438f51761e5c3e16e5376054",
            id="15 fields before London",
        ),
        pytest.param(
            AFTER_LONDON,
            "ec0b5cf01a11c514e6fecb2577adf82594083a79eda699eeaf7d11ebef226063",
            id="the base fee is sealed too",
        ),
    ],
)
def test_author_of_a_block_with_transactions(header: Header, block_hash: str) -> None:
    assert header.hash == unhex(block_hash)
    assert recover_author(header) == INFURA
    assert recover_author(decode_header(encode_header(header))) == INFURA


def test_seal_hash_of_an_empty_london_header() -> None:
    """go-ethereum v1.13.15 `consensus/clique/clique_test.go`, TestSealHash."""
    header = Header(
        parent_hash=ZERO_HASH,
        ommers_hash=ZERO_HASH,
        beneficiary=ZERO_ADDRESS,
        state_root=ZERO_HASH,
        transactions_root=ZERO_HASH,
        receipts_root=ZERO_HASH,
        logs_bloom=bytes(256),
        difficulty=0,
        number=0,
        gas_limit=0,
        gas_used=0,
        timestamp=0,
        extra_data=unsealed(b""),
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=0,
    )
    assert seal_hash(header) == unhex("bd3d1fa43fbc4c5bfcc91b179ec92e2861df3654de60468beb908ff805359e8f")


def test_the_other_form_of_a_seal_has_the_same_author_and_seal_hash_but_another_hash() -> None:
    """Why a block hash does not tell what a key has signed; geth takes both forms, so do we."""
    header = first_headers()[1]
    seal = header.extra_data[-SEAL_BYTES:]
    s = SECP256K1_N - int.from_bytes(seal[32:64], "big")
    twin = sealed(header, seal[:32] + s.to_bytes(32, "big") + bytes((seal[64] ^ 1,)))
    assert recover_author(twin) == PARITY
    assert seal_hash(twin) == seal_hash(header)
    assert twin.hash != header.hash
