"""Block 0: the hash that geth gives it, and a database that belongs to one genesis for ever."""

import copy
from typing import Any

import pytest

from consensus.clique.rules import CliqueRules
from node.chain import genesis as genesis_module
from node.chain.genesis import genesis_block, parse_genesis
from node.chain.genesis_fields import Fields, from_mapping
from node.chain.genesis_json import _read_alloc
from node.chain.opening import Chain, open_chain
from node.config.settings import StorageSettings
from node.execution.py_evm import PyEvmExecutor
from node.primitives.block import encode_block
from node.primitives.chain_spec import ChainSpec, CliqueSpec, Fork, GenesisHeader
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, Hash32, hex_of
from node.storage import blocks, schema
from node.storage.memory import MemoryKV
from tests.chain.harness import KEYS, ChainMaker, make_spec
from tests.vectors import ethereum_tests, load_json

SIGNERS = "11" * 20 + "22" * 20
BERLIN_AT_0 = dict.fromkeys(
    (
        "homesteadBlock",
        "eip150Block",
        "eip155Block",
        "eip158Block",
        "byzantiumBlock",
        "constantinopleBlock",
        "petersburgBlock",
        "istanbulBlock",
        "berlinBlock",
    ),
    0,
)
SMALL: dict[str, Any] = {
    "config": {"chainId": 1337, **BERLIN_AT_0, "clique": {"period": 2, "epoch": 30000}},
    "nonce": "0x0",
    "timestamp": "0x65a00000",
    "extraData": "0x" + "00" * 32 + SIGNERS + "00" * 65,
    "gasLimit": "0x1c9c380",
    "difficulty": "0x1",
    "alloc": {},
}
LONDON: dict[str, Any] = {**SMALL, "config": {**SMALL["config"], "londonBlock": 0}}
ALLOCATED: dict[str, Any] = {
    **LONDON,
    "alloc": {
        "0x00000000000000000000000000000000000000aa": {"balance": "0xde0b6b3a7640000"},
        "00000000000000000000000000000000000000bb": {
            "balance": "5",
            "nonce": "0x7",
            "code": "0x6001600055",
            "storage": {
                "0x00": "0x2a",
                "0x" + "00" * 31 + "01": "0x" + "00" * 32,
                "0x02": "0xff" + "00" * 31,
            },
        },
        "00000000000000000000000000000000000000cc": {"balance": "0x0"},
    },
}
STRANGE: dict[str, Any] = {
    **SMALL,
    "coinbase": "0x" + "33" * 20,
    "mixHash": "0x" + "44" * 32,
    "nonce": "0x123456789",
    "parentHash": "0x" + "55" * 32,
}
# Block hashes that go-ethereum v1.13.15 (core.Genesis.ToBlock) gives these files.
GETH = [
    (ALLOCATED, "0x811d01b895385d6dce063e5b4066183e419f34d5877cd7497479f92f3e78a16e"),
    (STRANGE, "0x375f14a63b5365fc36a3e5ba9f3010fe11d751d8b3c7ede273c8e98207d997fc"),
    (
        {**LONDON, "baseFeePerGas": "0x7"},
        "0x555883562c6c5784d685f1be4259d8f141b10f372e833464f24e7100f066e42d",
    ),
]


def goerli() -> dict[str, Any]:
    """go-ethereum v1.13.15, core/genesis_alloc.go: 1 wei for 256 precompiles, and four accounts."""
    forks = {**BERLIN_AT_0, "istanbulBlock": 1_561_651, "berlinBlock": 4_460_644, "londonBlock": 5_062_605}
    alloc = {f"{number:040x}": {"balance": "1"} for number in range(256)}
    alloc |= {
        "4c2ae482593505f0163cdefc073e81c63cda4107": {"balance": "0x152d02c7e14af6800000"},
        "a8e8f14732658e4b51e8711931053a8a69baf2b1": {"balance": "0x152d02c7e14af6800000"},
        "d9a5179f091d85051d3c982785efd1455cec8699": {"balance": "0x84595161401484a000000"},
        "e0a2bd4258d2768837baa26a28fe71dc079f84c7": {"balance": "0x4a47e3c12448f4ad000000"},
    }
    vanity = "22466c6578692069732061207468696e6722202d204166726900000000000000"
    return {
        "config": {"chainId": 5, **forks, "clique": {"period": 15, "epoch": 30000}},
        "timestamp": "0x5c51a607",
        "extraData": "0x" + vanity + "e0a2bd4258d2768837baa26a28fe71dc079f84c7" + "00" * 65,
        "gasLimit": "0xa00000",
        "difficulty": "0x1",
        "alloc": alloc,
    }


@pytest.mark.parametrize(("source", "block_hash"), GETH, ids=["allocated", "strange header", "base fee"])
def test_the_hash_is_geths(source: dict[str, Any], block_hash: str) -> None:
    assert hex_of(genesis_block(parse_genesis(source)).hash) == block_hash


def test_the_hash_is_goerlis() -> None:
    block = genesis_block(parse_genesis(goerli()))
    assert hex_of(block.hash) == "0xbf7e331f7f7c1dd2e05159666b3bf8bc7a8a3a9eb1d518969eab529dd9b88c1a"


def number(text: str) -> int:
    return int(text[2:] or "0", 16)


@pytest.mark.parametrize("name", ["test1", "test2", "test3"])
def test_official_genesis_blocks(name: str) -> None:
    case = load_json(ethereum_tests() / "GenesisTests/basic_genesis_tests.json")[name]
    entries = {key: {"balance": entry.get("wei", "0"), **entry} for key, entry in case["alloc"].items()}
    header = GenesisHeader(
        extra_data=bytes.fromhex(case["extraData"][2:]),
        difficulty=number(case["difficulty"]),
        gas_limit=number(case["gasLimit"]),
        timestamp=number(case["timestamp"]),
        nonce=number(case["nonce"]),
        beneficiary=Address(bytes.fromhex(case["coinbase"][2:])),
    )
    spec = ChainSpec(
        chain_id=1,
        forks=((0, Fork.FRONTIER),),
        engine=CliqueSpec(1),
        genesis=header,
        alloc=_read_alloc(Fields(from_mapping({"alloc": entries}), "", [])),
    )
    assert encode_block(genesis_block(spec)).hex() == case["result"]


# --- the database


def opened(kv: MemoryKV, spec: ChainSpec) -> Chain:
    return open_chain(kv, spec, CliqueRules(spec.engine), PyEvmExecutor(), StorageSettings())


def test_a_new_database_begins_with_block_0_and_its_state() -> None:
    kv = MemoryKV()
    chain = opened(kv, parse_genesis(ALLOCATED))
    genesis = chain.reader.genesis
    assert chain.reader.head == genesis == chain.reader.header_by_number(0)
    assert (chain.reader.receipts(genesis.hash), chain.reader.total_difficulty(genesis.hash)) == ((), 1)
    view = chain.reader.state_at(genesis.hash)
    contract = Address(bytes(19) + b"\xbb")
    account = view.account(contract)
    assert account is not None
    assert (account.nonce, account.balance, view.code(account.code_hash).hex()) == (7, 5, "6001600055")
    assert [view.storage(contract, slot) for slot in (0, 1, 2)] == [42, 0, 0xFF << 248]
    assert opened(kv, parse_genesis(ALLOCATED)).reader.head == genesis


def test_a_database_of_another_genesis_is_refused_with_both_hashes_and_left_alone() -> None:
    kv = MemoryKV()
    opened(kv, parse_genesis(LONDON))
    before = dict(kv.iterate(b"", None))
    with pytest.raises(ConfigError) as caught:
        opened(kv, parse_genesis(ALLOCATED))
    assert hex_of(genesis_block(parse_genesis(LONDON)).hash) in str(caught.value)
    assert GETH[0][1] in str(caught.value)
    assert dict(kv.iterate(b"", None)) == before


def test_the_root_of_an_allocation_that_is_known_is_not_worked_out_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kv = MemoryKV()
    first = opened(kv, parse_genesis(ALLOCATED)).reader.genesis
    # A database of before the row: worked out once more, and noted.
    older = MemoryKV({key: row for key, row in kv.iterate(b"", None) if key != schema.ALLOC_KEY})
    assert opened(older, parse_genesis(ALLOCATED)).reader.genesis == first
    assert older.get(schema.ALLOC_KEY) == kv.get(schema.ALLOC_KEY)

    def never(changes: object) -> Hash32:
        raise AssertionError

    monkeypatch.setattr(genesis_module, "state_root_of", never)
    for each in (kv, older):
        assert opened(each, parse_genesis(ALLOCATED)).reader.genesis == first
        with pytest.raises(AssertionError):
            opened(each, parse_genesis(SMALL))


@pytest.mark.parametrize("change", ["balance", "nonce", "code", "storage", "address", "timestamp"])
def test_any_other_allocation_or_header_is_another_genesis(change: str) -> None:
    kv = MemoryKV()
    opened(kv, parse_genesis(ALLOCATED))
    changed = copy.deepcopy(ALLOCATED)
    address = "00" * 19 + "bb"
    entry = changed["alloc"][address]
    match change:
        case "balance" | "nonce":
            entry[change] = "0x1234"
        case "code":
            entry["code"] += "00"
        case "storage":
            entry["storage"]["0x07"] = "0x01"
        case "address":
            changed["alloc"]["0x" + "dd" * 20] = changed["alloc"].pop(address)
        case _:
            changed["timestamp"] = "0x777"
    with pytest.raises(ConfigError, match="the database belongs to genesis"):
        opened(kv, parse_genesis(changed))


def test_rules_of_the_past_cannot_change_and_those_of_the_future_can() -> None:
    kv = MemoryKV()
    own = {"phoenix": {"shanghaiBlock": 100}}
    maker = ChainMaker(make_spec(KEYS[:1], **own), kv=kv)
    maker.extend_by(3)
    later = make_spec(
        KEYS[:1], phoenix={"shanghaiBlock": 200, "cancunBlock": 300, "forkChoice": "total-difficulty"}
    )
    assert opened(kv, later).reader.head.number == 3
    assert blocks.read_rules(kv) is not None
    with pytest.raises(
        ConfigError, match=r"forks is \[\[0, 'LONDON'\], \[2, 'SHANGHAI'\]\], but the blocks up to #3"
    ):
        opened(kv, make_spec(KEYS[:1], phoenix={"shanghaiBlock": 2}))
    with pytest.raises(ConfigError, match=r"clique.period is 7, but .* were made with 2"):
        opened(kv, make_spec(KEYS[:1], clique={"period": 7}))


def test_rules_may_change_as_long_as_there_is_only_block_0() -> None:
    kv = MemoryKV()
    opened(kv, parse_genesis(LONDON))
    changed = copy.deepcopy(LONDON)
    changed["config"]["chainId"] = 7
    assert opened(kv, parse_genesis(changed)).reader.spec.chain_id == 7
