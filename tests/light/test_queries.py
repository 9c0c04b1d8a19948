"""The query API of a light client: a replica's answers where the state proves them, a reason where not."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import trio
from jsonschema import Draft202012Validator

from node.app.light import with_queries
from node.backends.light import light_backend
from node.backends.light_queries import PROVABLE, LightQueries
from node.chain.events import ChainEvents
from node.config.settings import RpcSettings
from node.execution.evm.executor import FastExecutor
from node.primitives.ids import Address
from node.replica.api import Reply
from node.replica.routes import ROUTES
from node.replica.sqlite import SqliteDatabase
from node.rpc.api import RpcApi
from tests.chain.harness import ChainMaker, make_spec
from tests.contracts import test_cloud_day as cloud
from tests.light.conftest import BLOCKS_ABOVE, SIGNERS, Edge, ask
from tests.light.liar import Twist, flipped, on
from tests.light.test_liars import no_storage_proof
from tests.replica.chains import a_day_recorded
from tests.replica.test_api import Asked
from tests.rpc.client import Place
from tests.rpc.node import NAMESPACES, running_node

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def day() -> cloud.Day:
    day = a_day_recorded()
    day.act(70, "Credentials", "issue", day.who(71), cloud.PAPER, cloud.CARD, 0)
    return day


@pytest.fixture
async def suite(day: cloud.Day, tmp_path: Path) -> AsyncIterator[Edge]:
    """A chain that begins with all that the day left behind, and light clients of it."""
    maker = ChainMaker(make_spec(SIGNERS, alloc=day.chain.world.alloc()), executor=FastExecutor(None))
    maker.extend_by(BLOCKS_ABOVE)
    with ExitStack() as stack:
        async with running_node(maker) as node:
            edge = Edge(node, tmp_path, Address(bytes(20)), None, stack)  # type: ignore[arg-type]
            yield edge
            edge.close()


class Light:
    """The query API of a light client."""

    def __init__(self, edge: Edge, client: Any, book: str) -> None:
        backend = light_backend(client, FastExecutor(None), ChainEvents())
        pages = with_queries(backend, book).pages
        assert pages is not None
        self.api: LightQueries = pages._api  # type: ignore[attr-defined]
        self.document = json.loads(self.api.answer("/v1/openapi.json").body)

    async def get(self, target: str, status: int = 200, tag: str | None = None) -> Any:
        reply: Reply = await ask(partial(self.api.answer, target, tag))
        assert reply.status == status, reply.body
        if status == HTTPStatus.NOT_MODIFIED:
            return reply
        answer = json.loads(reply.body)
        path = target.partition("?")[0]
        template = next((route.path for route in ROUTES if route.pattern.fullmatch(path)), path)
        if template in self.document["paths"]:
            (content,) = self.document["paths"][template]["get"]["responses"][str(status)]["content"].values()
            schema = {**content["schema"], "components": self.document["components"]}
            Draft202012Validator(schema).validate(answer)
        return answer


async def light(edge: Edge, book: str, *urls: str, **settings: Any) -> Light:
    return Light(edge, await edge.following(*(urls or (edge.url,)), witnesses=1, **settings), book)


def book_of(day: cloud.Day) -> str:
    return day.suite.report.addresses["ContractNames"]


def told(proved: Any, whole: Any) -> Iterator[tuple[Any, Any]]:
    """What the light client says, beside what the replica says; nothing where it says null."""
    if isinstance(proved, dict):
        for name, value in proved.items():
            yield from told(value, whole[name])
    elif proved is not None:
        yield proved, whole


def last_slot_flipped(proof: dict[str, Any]) -> dict[str, Any]:
    return {
        **proof,
        "storageProof": [
            {**slot, "proof": [*slot["proof"][:-1], *map(flipped, slot["proof"][-1:])]}
            for slot in proof["storageProof"]
        ],
    }


PATHS = (
    "/v1/invoices/1",
    "/v1/invoices/2",
    "/v1/allocations/1",
    "/v1/sla/agreements/1",
)


async def test_what_is_proved_is_what_a_replica_says(suite: Edge, day: cloud.Day, tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "index.sqlite")
    replica, queries = Asked(database, day), await light(suite, book_of(day))
    (credential,) = replica(f"/v1/subjects/{day.who(71)}/credentials")["data"]
    for path in (*PATHS, f"/v1/credentials/{credential['id']}"):
        answer = await queries.get(path)
        pairs = list(told(answer["data"], replica(path)["data"]))
        assert len(pairs) >= 5
        assert [mine for mine, _ in pairs] == [theirs for _, theirs in pairs]
        head = suite.maker.head
        assert answer["block"] == {
            "number": head.number,
            "hash": "0x" + head.hash.hex(),
            "time": head.timestamp,
        }
    database.close()
    for path in (
        "/v1/invoices/999",
        "/v1/allocations/999",
        "/v1/sla/agreements/999",
        f"/v1/credentials/0x{9:064x}",
    ):
        assert (await queries.get(path, 404))["type"] == "not-found"


async def test_what_is_not_proved_is_refused_with_the_reason(suite: Edge, day: cloud.Day) -> None:
    queries = await light(suite, book_of(day))
    examples = {"tenant": day.who(1), "account": day.who(1), "subject": day.who(1), "contract": day.who(1)}
    hashes = dict.fromkeys(("component", "log", "credential"), f"0x{1:064x}")
    for route in ROUTES:
        if route.path not in PROVABLE:
            path = route.path.format(**examples, **hashes, invoice=1, agreement=1, allocation=1)
            told = await queries.get(path, 501)
            assert told["type"] == "not-provable"
            assert "seen every block" in told["detail"]
    assert set(queries.document["paths"]) == {*PROVABLE, "/v1/status"}
    assert (await queries.get("/v1/nonsense", 404))["type"] == "no-such-path"
    assert (await queries.get("/v1/invoices/x", 400))["type"] == "bad-parameter"
    assert (await queries.get("/v1/invoices/1?limit=3", 400))["type"] == "bad-parameter"


async def test_an_answer_is_about_the_block_that_was_asked_for(suite: Edge, day: cloud.Day) -> None:
    queries, head = await light(suite, book_of(day)), suite.maker.head
    assert (await queries.get("/v1/invoices/1?as_of=1"))["block"]["number"] == 1
    assert (await queries.get(f"/v1/invoices/1?as_of={head.number + 1}", 409))["type"] == "block-not-reached"
    assert (await queries.get("/v1/invoices/1?finality=final"))["block"]["number"] < head.number
    assert (await queries.get("/v1/invoices/1?max_staleness_s=0.001", 503))["type"] == "stale"
    await queries.get("/v1/invoices/1", 304, f'W/"0x{head.hash.hex()}"')
    assert (await queries.get("/v1/status"))["data"]["indexed"]["number"] == head.number


async def test_an_address_book_that_is_none_is_refused(suite: Edge, day: cloud.Day) -> None:
    for wrong in (day.who(1), day.suite.report.addresses["Billing"]):
        queries = await light(suite, wrong)
        refused = await queries.get("/v1/invoices/1", 409)
        assert refused["type"] == "no-suite"
        assert "is not the suite's address book" in refused["detail"]


LIES: dict[str, Twist] = {
    "a slot's proof altered": on("eth_getProof", last_slot_flipped),
    "slots proved to be empty": on("eth_getProof", no_storage_proof),
    "code that says something else": on("eth_getCode", flipped),
    "no contract there": on("eth_getProof", lambda proof: {**proof, "accountProof": []}),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_gives_no_answer_and_the_truth_comes_from_elsewhere(
    suite: Edge, day: cloud.Day, lie: str
) -> None:
    honest = await light(suite, book_of(day))
    truth = [(await honest.get(path))["data"] for path in PATHS]
    alone, beside = suite.liar(), suite.liar()
    queries = await light(suite, book_of(day), alone.url)
    both = await light(suite, book_of(day), beside.url, suite.url)
    alone.twist = beside.twist = LIES[lie]
    for path in PATHS:
        refused = await queries.get(path, 503)
        assert refused["type"] == "not-proved"
        assert alone.url in refused["detail"]
    assert [(await both.get(path))["data"] for path in PATHS] == truth


async def test_the_pages_are_served_beside_json_rpc(suite: Edge, day: cloud.Day) -> None:
    client = await suite.following(suite.url, witnesses=1)
    backend = light_backend(client, FastExecutor(None), ChainEvents())
    assert with_queries(backend, None).pages is None
    settings, place = RpcSettings(port=0, namespaces=NAMESPACES), Place()
    async with trio.open_nursery() as nursery:
        await nursery.start(place.run, settings, RpcApi(with_queries(backend, book_of(day)), settings))
        url = f"http://127.0.0.1:{place.port}/v1/invoices/2"
        with await ask(partial(urlopen, url, timeout=30)) as reply:
            assert json.loads(reply.read())["data"]["invoice"]["status"] == "settled"
            assert reply.headers["x-block-hash"] == "0x" + suite.maker.head.hash.hex()
        await place.close()
        nursery.cancel_scope.cancel()
