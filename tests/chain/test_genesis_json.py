"""genesis.json: what is read from it, and that every problem is named with its place."""

import copy
import json
from typing import Any

import pytest

from node.chain.genesis_json import load_genesis, parse_genesis
from node.primitives.chain_spec import CliqueSpec, Fork, ForkChoice
from node.primitives.errors import ConfigError

A, B = "11" * 20, "22" * 20


def extra(*signers: str) -> str:
    return "0x" + "00" * 32 + "".join(signers) + "00" * 65


PLAIN: dict[str, Any] = {
    "config": {"chainId": 1337, "clique": {"period": 2, "epoch": 30000}},
    "extraData": extra(A),
    "gasLimit": "0x1c9c380",
    "difficulty": "0x1",
    "alloc": {},
}


def with_config(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(PLAIN)
    changed["config"].update(changes)
    return changed


def problems_of(source: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_genesis(source)
    return list(caught.value.problems)


# --- what is read


def test_a_config_that_names_no_fork_has_london_rules_from_block_0() -> None:
    spec = parse_genesis(PLAIN)
    assert spec.forks == ((0, Fork.LONDON),)
    assert spec.fork_id_blocks == ()
    assert spec.genesis.base_fee_per_gas == 1_000_000_000


def test_a_fork_that_is_not_named_never_comes() -> None:
    spec = parse_genesis(with_config(homesteadBlock=0, eip150Block=10))
    assert spec.forks == ((0, Fork.HOMESTEAD), (10, Fork.TANGERINE_WHISTLE))
    assert spec.fork_at(10**9) is Fork.TANGERINE_WHISTLE
    assert spec.genesis.base_fee_per_gas is None


def test_rinkeby_schedule() -> None:
    # go-ethereum v1.10.26, params/config.go, RinkebyChainConfig
    blocks = {
        "homesteadBlock": 1,
        "eip150Block": 2,
        "eip155Block": 3,
        "eip158Block": 3,
        "byzantiumBlock": 1_035_301,
        "constantinopleBlock": 3_660_663,
        "petersburgBlock": 4_321_234,
        "istanbulBlock": 5_435_345,
        "berlinBlock": 8_290_928,
        "londonBlock": 8_897_988,
    }
    spec = parse_genesis(with_config(**blocks))
    assert spec.forks[0] == (0, Fork.FRONTIER)
    assert spec.fork_at(3) is Fork.SPURIOUS_DRAGON
    assert spec.fork_at(3_660_663) is Fork.CONSTANTINOPLE
    assert spec.fork_at(8_897_987) is Fork.BERLIN
    assert spec.fork_at(8_897_988) is Fork.LONDON
    assert spec.fork_id_blocks == tuple(sorted(set(blocks.values())))


def test_petersburg_comes_with_constantinople_unless_it_is_named() -> None:
    earlier = dict.fromkeys(
        ("homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock"), 0
    )
    spec = parse_genesis(with_config(**earlier, constantinopleBlock=5))
    assert spec.forks == ((0, Fork.BYZANTIUM), (5, Fork.PETERSBURG))


def test_glaciers_change_no_rule_but_count_for_the_fork_id() -> None:
    spec = parse_genesis(with_config(berlinBlock=0, londonBlock=0, arrowGlacierBlock=7, muirGlacierBlock=0))
    assert spec.forks == ((0, Fork.LONDON),)
    assert spec.fork_id_blocks == (7,)


def test_besu_spelling_of_clique_and_of_a_lone_fork() -> None:
    config = {
        "chainId": 1337,
        "berlinBlock": 0,
        "constantinoplefixblock": 0,
        "clique": {"blockperiodseconds": 5, "epochlength": 100, "createemptyblocks": True},
    }
    spec = parse_genesis({**PLAIN, "config": config})
    assert spec.forks == ((0, Fork.BERLIN),)
    assert spec.engine == CliqueSpec(5, 100, ForkChoice.TOTAL_DIFFICULTY)


def test_a_network_of_our_own_chooses_by_total_order_and_may_go_beyond_london() -> None:
    spec = parse_genesis(with_config(phoenix={"shanghaiBlock": 10, "cancunBlock": "0x14"}))
    assert spec.forks == ((0, Fork.LONDON), (10, Fork.SHANGHAI), (20, Fork.CANCUN))
    assert spec.fork_id_blocks == (10, 20)
    assert spec.engine.fork_choice is ForkChoice.TOTAL_ORDER
    plain = parse_genesis(with_config(phoenix={"forkChoice": "total-difficulty"}))
    assert plain.engine.fork_choice is ForkChoice.TOTAL_DIFFICULTY


def test_numbers_bytes_and_keys_in_every_accepted_spelling() -> None:
    source = copy.deepcopy(PLAIN)
    source.update(
        {
            "gaslimit": "30000000",
            "timestamp": 1_700_000_000,
            "nonce": "0x42",
            "coinbase": B,
            "mixHash": "0x" + "ab" * 32,
            "baseFeePerGas": "0X7",
            "alloc": {
                "0x" + A: {"balance": "1000", "nonce": "0x1", "comment": "ignored"},
                B.upper(): {
                    "balance": "0x10",
                    "code": "6001",
                    "storage": {"0x03": "07", "4": "0x0", "": "ff"},
                },
            },
        }
    )
    del source["gasLimit"]
    spec = parse_genesis(json.dumps(source))
    assert spec.genesis.gas_limit == 30_000_000
    assert (spec.genesis.timestamp, spec.genesis.nonce) == (1_700_000_000, 0x42)
    assert spec.genesis.beneficiary.hex() == B
    assert spec.genesis.mix_hash.hex() == "ab" * 32
    assert spec.genesis.base_fee_per_gas == 7
    first, second = spec.alloc[bytes.fromhex(A)], spec.alloc[bytes.fromhex(B)]
    assert (first.balance, first.nonce, first.code, first.storage) == (1000, 1, b"", {})
    assert (second.balance, second.code, second.storage) == (16, b"\x60\x01", {3: 7, 0: 0xFF})


def test_zero_base_fee_leaves_the_genesis_header_as_besu_has_it() -> None:
    spec = parse_genesis(with_config(zeroBaseFee=True))
    assert spec.zero_base_fee
    assert spec.genesis.base_fee_per_gas == 1_000_000_000


# --- what is refused


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"chainId": 0}, "config.chainId: 0 protects no transaction against replay on other networks"),
        ({"chainId": 2**63}, "config.chainId: 9223372036854775808 is above 9223372036854775771 (EIP-2294)"),
        ({"chainId": None}, "config.chainId: is missing"),
        ({"clique": None}, 'config.clique: is missing; e.g. {"period": 2, "epoch": 30000}'),
        ({"clique": {"epoch": 1}}, "config.clique.period: is missing"),
        (
            {"clique": {"period": 1, "epoch": 0}},
            "config.clique.epoch: 0; votes are reset every so many blocks, so it is at least 1",
        ),
        (
            {"clique": {"period": 1, "blockperiodseconds": 2}},
            "config.clique.blockperiodseconds: 2 contradicts period: 1",
        ),
        (
            {"clique": {"period": 1, "createemptyblocks": False}},
            "config.clique.createemptyblocks: is a choice of each validator: production.empty_blocks",
        ),
        (
            {"ethash": {}},
            "config.ethash: proof of work is not supported: the network is sealed by authorities"
            " (config.clique)",
        ),
        (
            {"terminalTotalDifficulty": 1},
            "config.terminalTotalDifficulty: the network would leave Clique for proof of stake,"
            " which is not supported",
        ),
        (
            {"shanghaiTime": 0},
            "config.shanghaiTime: Clique of geth and Besu stops at London; on a network of our own,"
            " config.phoenix.shanghaiBlock and config.phoenix.cancunBlock enable"
            " the later EVM rules by block",
        ),
        (
            {"berlinBlock": 10, "londonBlock": 5},
            "config.londonBlock: block 5 comes before berlinBlock, which is block 10",
        ),
        (
            {"eip155Block": 1, "eip158Block": 2},
            "config.eip158Block: eip155Block and eip158Block are one fork here and need one block",
        ),
        (
            {"phoenix": {"cancunBlock": 1}},
            "config.phoenix.cancunBlock: Cancun builds on Shanghai: shanghaiBlock is missing",
        ),
        (
            {"phoenix": {"shanghaiBlock": 5, "cancunBlock": 1}},
            "config.phoenix.cancunBlock: block 1 comes before phoenix.shanghaiBlock, which is block 5",
        ),
        (
            {"berlinBlock": 0, "phoenix": {"shanghaiBlock": 5}},
            "config.phoenix.shanghaiBlock: builds on London: config.londonBlock is missing",
        ),
        (
            {"phoenix": {"forkChoice": "longest"}},
            'config.phoenix.forkChoice: \'longest\' is none; it is "total-difficulty" or "eip-3436"',
        ),
        (
            {"berlinBlock": 0, "zeroBaseFee": True},
            "config.zeroBaseFee: there is no base fee without londonBlock",
        ),
        (
            {"contractSizeLimit": 2147483647},
            "config.contractSizeLimit: is not understood here; it may be a rule that other nodes follow",
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_with_the_reason(
    config: dict[str, Any], problem: str
) -> None:
    assert problems_of(with_config(**config)) == [problem]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("extraData", extra(), "extraData: names no signer, so nobody could make block 1"),
        (
            "extraData",
            "0x00",
            "extraData: 1 bytes; Clique needs 32 of vanity, 20 for each signer and 65 for a seal",
        ),
        (
            "extraData",
            extra(A, "33"),
            "extraData: 118 bytes; Clique needs 32 of vanity, 20 for each signer and 65 for a seal",
        ),
        (
            "extraData",
            extra(B, A),
            f"extraData: signer 0x{A} stands after 0x{B}; signers ascend (EIP-225)",
        ),
        ("extraData", extra(A, A), f"extraData: signer 0x{A} is listed twice"),
        ("extraData", extra("00" * 20), "extraData: the zero address is no signer: it has no key"),
        ("extraData", None, "extraData: is missing; Clique's first signers stand in it"),
        ("gasLimit", "0x1387", "gasLimit: 4999 is not between 5000 and 9223372036854775807"),
        ("gasLimit", 2**63, "gasLimit: 9223372036854775808 is not between 5000 and 9223372036854775807"),
        ("gasLimit", None, "gasLimit: is missing"),
        ("difficulty", None, "difficulty: is missing"),
        ("difficulty", 1.5, "difficulty: a decimal or 0x-prefixed number is expected, not 1.5"),
        ("difficulty", "-1", "difficulty: a decimal or 0x-prefixed number is expected, not '-1'"),
        ("difficulty", "1_0", "difficulty: a decimal or 0x-prefixed number is expected, not '1_0'"),
        (
            "timestamp",
            2**64,
            "timestamp: 18446744073709551616 is out of range; it has at most 64 bits and no sign",
        ),
        ("number", 1, "number: the genesis block has number 0"),
        ("gasUsed", 2**40, "gasUsed: 1099511627776 is more than the gas limit 30000000"),
        ("coinbase", "0x1234", "coinbase: 2 bytes where 20 are expected"),
        ("blobGasUsed", "0x0", "blobGasUsed: belongs to Cancun headers, which no Clique network has"),
        ("alloc", None, "alloc: is missing; {} is an allocation too"),
        ("alloc", [], "alloc: an object is expected, not []"),
        ("alloc", {"0x12": {}}, "alloc.0x12: is no address; that has 20 bytes in hex"),
        ("alloc", {A: {}, "0x" + A: {}}, f"alloc.0x{A}: the address is allocated twice"),
        (
            "alloc",
            {A: {"balance": 2**256}},
            f"alloc.{A}.balance: {2**256} is out of range; it has at most 256 bits" + " and no sign",
        ),
        (
            "alloc",
            {A: {"balance": True}},
            f"alloc.{A}.balance: a decimal or 0x-prefixed number is expected, not True",
        ),
        (
            "alloc",
            {A: {"code": "0x1"}},
            f"alloc.{A}.code: an even number of hex digits is expected, not '0x1'",
        ),
        (
            "alloc",
            {A: {"storage": {"zz": "0x1"}}},
            f"alloc.{A}.storage.zz: is no slot; that has at most 32 bytes in hex",
        ),
        (
            "alloc",
            {A: {"storage": {"1": 5}}},
            f"alloc.{A}.storage.1: a value of at most 32 bytes in hex is expected",
        ),
        (
            "alloc",
            {A: {"storage": {"1": "5", "0x01": "6"}}},
            f"alloc.{A}.storage.0x01: the slot is given twice",
        ),
    ],
)
def test_a_field_that_makes_no_sense_is_refused_with_its_place(field: str, value: Any, problem: str) -> None:
    assert problems_of({**PLAIN, field: value}) == [problem]


def test_all_problems_are_named_at_once() -> None:
    source = with_config(chainId=0, ethash={})
    source["gasLimit"] = 1
    source["alloc"] = {"0x": {}}
    assert [problem.split(":")[0] for problem in problems_of(source)] == [
        "config.chainId",
        "config.ethash",
        "gasLimit",
        "alloc.0x",
    ]


def test_a_base_fee_before_london_is_refused_because_geth_and_besu_hash_it_differently() -> None:
    source = {**with_config(berlinBlock=0), "baseFeePerGas": 1}
    assert problems_of(source) == ["baseFeePerGas: there is no base fee in block 0 unless londonBlock is 0"]


def test_text_that_is_no_genesis_is_refused() -> None:
    with pytest.raises(ConfigError, match="not JSON"):
        parse_genesis("{")
    with pytest.raises(ConfigError, match="an object with config"):
        parse_genesis("[]")
    with pytest.raises(ConfigError, match=r"gasLimit: stands there twice"):
        parse_genesis('{"gasLimit": 1, "gasLimit": 2}')
    with pytest.raises(ConfigError, match="not JSON"):
        parse_genesis("[" * 100_000)


def test_the_file_is_named_in_front_of_each_problem(tmp_path: Any) -> None:
    path = tmp_path / "genesis.json"
    with pytest.raises(ConfigError, match="No such file"):
        load_genesis(path)
    path.write_text(json.dumps(with_config(chainId=0)))
    with pytest.raises(ConfigError) as caught:
        load_genesis(path)
    assert caught.value.problems[0].startswith(f"{path}: config.chainId: 0 ")
    path.write_text(json.dumps(PLAIN))
    assert load_genesis(path).chain_id == 1337
