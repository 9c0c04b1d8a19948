"""A validator whose key is in a real token: seals, says why when it cannot, and goes on again."""

import pytest
import trio
from trio.testing import MockClock

from node.signing.pkcs11 import TokenKey
from node.signing.token_keys import create_key
from tests.chain.harness import PERIOD_S, make_spec
from tests.production.world import Network, Validator, during, run_inline
from tests.signing.tokens import PIN, Tokens


async def test_a_validator_without_its_token_is_a_full_node_and_says_so_and_seals_when_it_is_back(
    tokens: Tokens, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio.to_thread, "run_sync", run_inline)
    name = tokens.name("sealer", tokens.doomed)
    create_key(name, PIN)
    key = TokenKey(name, PIN, 10.0)
    validator = Validator(make_spec([key]), key, signer=key)
    network = Network([validator])

    async def work() -> None:
        await network.wait_heads(3, timeout_s=60.0)
        assert validator.driver.health.problem is None
        away = tokens.folder.with_name("away")
        tokens.folder.rename(away)
        try:
            await trio.sleep(3 * PERIOD_S)
            sealed = validator.reader.head.number
            problem = validator.driver.health.problem
            assert problem is not None
            assert "token 'doomed' cannot be reached" in problem or "cannot be loaded" in problem
        finally:
            away.rename(tokens.folder)
        await network.wait_heads(sealed + 3, timeout_s=60.0)
        assert validator.driver.health.problem is None

    await during(network.run, work)
    key.close()
