"""A validator whose token is not there when it starts: a full node that says so, and seals when it comes."""

import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.client import RpcClient
from devnet.generate import encode_toml
from devnet.layout import NodeFiles
from node.signing.keystore import list_keys, unlock_key
from node.signing.passwords import find_password
from node.signing.token_keys import import_key
from tests.app.test_keys import refused, sealed
from tests.app.whole import make_validator, running
from tests.signing.tokens import PIN, Tokens, shared_tokens


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return shared_tokens(tmp_path_factory)


async def problems(node: NodeFiles) -> dict[str, Any]:
    """What clique_getSealing says once it says that something is wrong."""
    client = RpcClient(node.rpc_url, 60.0)
    with trio.fail_after(60):
        while True:
            said = await trio.to_thread.run_sync(client.call, "clique_getSealing")
            if said["problems"]:
                client.close()
                return dict(said)
            await trio.sleep(0.05)


async def not_ready(node: NodeFiles) -> str:
    """What /health/ready says beside its 503."""

    def get() -> str:
        with pytest.raises(urllib.error.HTTPError, match="503") as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{node.metrics_port}/health/ready")
        with caught.value as answer:
            return answer.read().decode()

    return await trio.to_thread.run_sync(get)


async def test_a_validator_whose_token_is_away_at_the_start_is_a_full_node_until_it_comes(
    tokens: Tokens, tmp_path: Path
) -> None:
    node = make_validator(tmp_path / "net", observability={"log_level": "error"})
    name = tokens.name("away at the start", tokens.doomed)
    (keystore,) = list_keys(node.keystore)
    import_key(name, PIN, unlock_key(keystore.path, find_password(node.password)))
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o600)
    head, _, rest = node.config.read_text().partition("[signing]\n")
    settings = {
        "backend": "pkcs11",
        "pkcs11_module": str(name.module),
        "pkcs11_token": name.token,
        "pkcs11_key": name.key,
        "pin_file": str(tmp_path / "pin"),
    }
    tail = rest.partition("\n\n")[2]
    node.config.write_text(f"{head}{encode_toml({'signing': settings}).strip()}\n\n{tail}")
    away = tokens.folder.with_name("away")
    tokens.folder.rename(away)
    try:
        # This node was never told whose key it is.
        await refused(node)
    finally:
        away.rename(tokens.folder)
    async with running(node):
        before = (await sealed(node, blocks=1))["signer"]
    tokens.folder.rename(away)
    try:
        async with running(node):
            said = await problems(node)
            assert said["signer"] == before
            # Which of the two depends on whether this process has seen the token before.
            words = re.compile(r"token 'doomed'|cannot be loaded .* is the token connected")
            assert words.search(str(said["problems"]))
            assert words.search(await not_ready(node))
            away.rename(tokens.folder)
            assert (await sealed(node, blocks=1))["signer"] == before
    finally:
        if away.exists():
            away.rename(tokens.folder)
