"""Pages beside JSON-RPC on one listener: GET and HEAD below /v1/, for whoever has pages."""

from dataclasses import dataclass, field
from http import HTTPStatus

import trio

from node.rpc.api import RpcApi
from node.rpc.pages import PageReply
from tests.rpc.client import served
from tests.rpc.world import World


@dataclass
class Echo:
    """Pages that say what they were asked."""

    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def answer(self, target: str, if_none_match: str | None) -> PageReply:
        await trio.lowlevel.checkpoint()
        self.asked.append((target, if_none_match))
        return PageReply(HTTPStatus.OK, b'"hello"', "application/json", {"etag": 'W/"1"'})

    async def drain(self) -> None:
        pass


@dataclass
class PagedWorld(World):
    """A world whose API has pages."""

    pages: Echo = field(default_factory=Echo)

    def api(self, **settings: object) -> RpcApi:
        api = super().api(**settings)
        api.pages = self.pages
        return api


def ask(method: bytes, target: bytes, *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def test_a_page_is_answered_and_calls_go_on_beside_it() -> None:
    world = PagedWorld()
    async with served(world) as place:
        client = await place.http()
        asked = ask(b"GET", b"/v1/invoices?limit=2", b'If-None-Match: W/"0"')
        status, headers, body = await client.exchange(asked)
        assert (status, body, headers["etag"]) == (200, b'"hello"', 'W/"1"')
        assert world.pages.asked == [("/v1/invoices?limit=2", 'W/"0"')]
        assert await client.call("eth_blockNumber") == {"jsonrpc": "2.0", "id": 1, "result": "0x0"}


async def test_a_node_without_pages_says_who_has_them() -> None:
    async with served(World()) as place:
        status, _, body = await (await place.http()).exchange(ask(b"GET", b"/v1/status"))
        assert status == 404
        assert b"replicas have" in body


async def test_pages_are_only_read() -> None:
    world = PagedWorld()
    async with served(world) as place:
        status, _, _ = await (await place.http()).exchange(ask(b"DELETE", b"/v1/invoices"))
        assert status == 405
        assert world.pages.asked == []


async def test_a_foreign_host_name_gets_no_page_either() -> None:
    world = PagedWorld()
    async with served(world) as place:
        asked = ask(b"GET", b"/v1/status").replace(b"localhost", b"evil.example")
        assert (await (await place.http()).exchange(asked))[0] == 403
        assert world.pages.asked == []
