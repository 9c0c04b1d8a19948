"""Validators that run: one alone, four together, with votes, losses and restarts."""

import pytest
import trio
from trio.testing import MockClock

from consensus.clique.engine import SIGN_KIND
from node.primitives.block import Block
from node.storage.memory import MemoryKV
from tests.chain.harness import ACCOUNTS, KEYS, PERIOD_S, make_spec, transfer
from tests.production.world import Network, Validator, during

pytestmark = pytest.mark.usefixtures("inline_threads")
FOUR = KEYS[:4]
OWN_NETWORK = {"phoenix": {}}


def four(**options: object) -> list[Validator]:
    spec = make_spec(FOUR, **OWN_NETWORK)
    return [Validator(spec, key, seed=index, **options) for index, key in enumerate(FOUR)]


async def test_a_single_validator_seals_one_block_each_period(autojump_clock: MockClock) -> None:
    validator = Validator(make_spec(KEYS[:1]), KEYS[0])
    network = Network([validator])
    await during(network.run, lambda: network.wait_heads(10, timeout_s=25.0))
    head = validator.reader.head
    assert head.timestamp - validator.reader.genesis.timestamp == 10 * PERIOD_S
    assert trio.current_time() == pytest.approx(10 * PERIOD_S, abs=0.5)
    assert [block.number for block in validator.announced] == list(range(1, 11))


async def test_transactions_of_the_whole_period_get_into_the_block(autojump_clock: MockClock) -> None:
    validator = Validator(make_spec(KEYS[:1]), KEYS[0])

    async def work() -> None:
        for nonce in range(19):
            validator.pool.add(transfer(ACCOUNTS[0], nonce), local=True)
            await trio.sleep(0.1)
        await Network([validator]).wait_heads(1, timeout_s=5.0)

    await during(Network([validator]).run, work)
    assert len(validator.announced[0].transactions) >= 18


async def test_four_validators_take_turns(autojump_clock: MockClock) -> None:
    network = Network(four())
    await during(network.run, lambda: network.wait_heads(24, timeout_s=60.0))
    heads = [validator.reader.header_by_number(24) for validator in network.validators]
    assert len(set(heads)) == 1
    assert heads[0] is not None
    reader = network.validators[0].reader
    headers = [reader.header_by_number(number) for number in range(1, 25)]
    authors = [reader.rules.author(header) for header in headers if header]
    assert authors == [FOUR[number % 4].address for number in range(1, 25)]
    assert {header.difficulty for header in headers if header} == {2}


async def test_a_validator_that_is_away_is_stood_in_for_and_catches_up(autojump_clock: MockClock) -> None:
    network = Network(four())
    network.cut_off = {3}

    async def work() -> None:
        await network.wait_heads(12, timeout_s=120.0)
        network.heal()
        await network.wait_heads(24, timeout_s=120.0)

    await during(network.run, work)
    numbers = {validator.reader.canonical_hash(22) for validator in network.validators}
    assert len(numbers) == 1


async def test_an_empty_network_waits_for_transactions_where_empty_blocks_are_off(
    autojump_clock: MockClock,
) -> None:
    validator = Validator(make_spec(KEYS[:1]), KEYS[0], empty_blocks=False)

    async def work() -> None:
        await trio.sleep(100.0)
        assert validator.reader.head.number == 0
        assert "waits for a transaction" in validator.driver.health.status
        validator.pool.add(transfer(ACCOUNTS[0], 0), local=True)
        await Network([validator]).wait_heads(1, timeout_s=3.0)
        await trio.sleep(100.0)
        assert validator.reader.head.number == 1

    await during(validator.run, work)


async def test_transactions_wait_for_nobody_at_period_zero(autojump_clock: MockClock) -> None:
    spec = make_spec(KEYS[:1], clique={"period": 0, "epoch": 30_000}, alloc={})
    validator = Validator(spec, KEYS[0])

    async def work() -> None:
        await trio.sleep(10.0)
        assert validator.reader.head.number == 0
        for nonce in range(5):
            validator.pool.add(transfer(ACCOUNTS[0], nonce), local=True)
            await trio.sleep(1.0)

    await during(validator.run, work)
    assert validator.pool.status().pending == 0
    assert 1 <= validator.reader.head.number <= 5


async def test_votes_admit_a_fifth_validator_and_proposals_end_when_it_is_final(
    autojump_clock: MockClock,
) -> None:
    network = Network(four())
    newcomer = KEYS[4].address

    async def work() -> None:
        for validator in network.validators[:3]:
            await validator.driver.propose(newcomer, True)
            assert validator.driver.proposals() == {newcomer: True}
        await network.wait_heads(16, timeout_s=120.0)

    await during(network.run, work)
    reader = network.validators[0].reader
    assert newcomer in reader.rules.validators(reader.engine_state(reader.head.hash))
    assert all(validator.driver.proposals() == {} for validator in network.validators)


async def test_proposals_survive_a_restart(autojump_clock: MockClock) -> None:
    kv = MemoryKV()
    spec = make_spec(KEYS[:3])
    validator = Validator(spec, KEYS[0], kv=kv)
    await during(validator.run, lambda: validator.driver.propose(KEYS[5].address, True))
    again = Validator(spec, KEYS[0], kv=kv)
    assert again.driver.proposals() == {KEYS[5].address: True}


async def test_a_block_signed_before_a_crash_is_finished_after_it(autojump_clock: MockClock) -> None:
    kv = MemoryKV()
    spec = make_spec(KEYS[:1])
    validator = Validator(spec, KEYS[0], kv=kv)

    async def until_signed() -> None:
        await trio.sleep(1.5 * PERIOD_S)

    async def never_imported(block: Block) -> None:
        await trio.sleep_forever()

    validator.importer.import_block = never_imported  # type: ignore[method-assign,assignment]
    await during(validator.run, until_signed)
    record = validator.signer.last(SIGN_KIND)
    assert record is not None
    assert record.height == 1
    again = Validator(spec, KEYS[0], kv=kv)
    assert again.reader.head.number == 0
    await during(again.run, lambda: Network([again]).wait_heads(3, timeout_s=20.0))
    assert again.announced[0].number == 1
    assert record.signature == again.announced[0].header.extra_data[-65:]


@pytest.mark.parametrize("seed", range(5))
async def test_slow_wires_do_not_split_the_network(autojump_clock: MockClock, seed: int) -> None:
    spec = make_spec(FOUR, **OWN_NETWORK)
    validators = [Validator(spec, key, seed=10 * seed + i, layers=2) for i, key in enumerate(FOUR)]
    network = Network(validators, seed=seed, delay_s_max=3.0)

    async def work() -> None:
        for count in range(40):
            nonce, index = divmod(count, 4)
            network.validators[index].pool.add(transfer(ACCOUNTS[index], nonce), local=True)
            await trio.sleep(0.5)
        await network.wait_heads(30, timeout_s=400.0)

    await during(network.run, work)
    low = min(validator.reader.head.number for validator in validators) - 6
    assert len({validator.reader.canonical_hash(low) for validator in validators}) == 1
