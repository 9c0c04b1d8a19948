"""What a signer shows its operators: refusals and ages per key, what became of requests, what is wrong."""

from dataclasses import replace

import pytest
import trio

from consensus.clique.extra_data import seal_hash
from node.observability.listener import serve_observability
from node.signing.service_observe import SignerNumbers
from node.signing.signer import SigningError
from tests.signing.headers import header_at, request
from tests.signing.test_service import ADDRESS, World, ask, running


def numbers(shown: SignerNumbers) -> dict[str, float]:
    lines = shown.exposition().decode().splitlines()
    return {name: float(value) for name, value in (line.split(" ") for line in lines if line[0] != "#")}


async def test_refusals_ages_and_outcomes_are_numbers(world: World) -> None:
    async with running(world) as serving:
        shown = SignerNumbers(serving)
        key = world.remote(world.alice)
        await ask(key, request(5))
        other = replace(header_at(5), timestamp=1)
        with pytest.raises(SigningError, match="already signed"):
            await ask(key, replace(request(5), header=other, digest=seal_hash(other)))
        with pytest.raises(SigningError, match="bob"):
            await ask(world.remote(world.bob, "clef"), request(6))
        found = numbers(shown)
        assert found[f'phoenix_guard_refusals{{key="{ADDRESS}"}}'] == 1
        assert 0 <= found[f'phoenix_signing_key_age_seconds{{key="{ADDRESS}"}}'] < 600
        outcomes = {name: count for name, count in found.items() if "signer_answers" in name}
        expected = {"signed": 1, "guard": 1, "denied": 1}
        assert outcomes == {
            f'phoenix_signer_answers_total{{outcome="{name}"}}': count for name, count in expected.items()
        }
        assert found["phoenix_signer_ready"] == 1


async def test_settings_that_are_not_in_force_and_a_certificate_that_ran_out_are_not_ready(
    world: World,
) -> None:
    async with running(world) as serving:
        shown = SignerNumbers(serving)
        assert shown.health().is_ready().well
        serving.problem = "no such file"
        assert "the former stay: no such file" in shown.health().is_ready().reasons[0]
        assert numbers(shown)["phoenix_signer_ready"] == 0
        serving.problem = None
        late = SignerNumbers(serving, unix_time=lambda: serving.expires_at + 1)
        assert "has run out; renew" in late.health().is_ready().reasons[0]


async def test_the_pages_are_served(world: World) -> None:
    async with running(world) as serving, trio.open_nursery() as nursery:
        shown = SignerNumbers(serving)
        listeners = await nursery.start(serve_observability, "127.0.0.1", 0, shown, shown.health())
        page = b""
        async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()[:2]) as stream:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\n\r\n")
            async for piece in stream:
                page += piece
        assert ADDRESS.encode() in page
        nursery.cancel_scope.cancel()
