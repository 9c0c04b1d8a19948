"""A light client's pages beside a replica's: what may differ, and what may not."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from devnet.finding import Finding
from devnet.light_checks import check_light_clients
from devnet.suite_genesis import REGISTRY

BLOCK = {"number": 7, "hash": "0x07"}
Pages = Callable[[str], tuple[int, Any]]


def invoice(**fields: Any) -> Pages:
    told = {"invoice": {"status": "issued", "total": "5"} | fields, "lines": None}
    return lambda path: (200, {"data": told, "block": BLOCK}) if "invoices" in path else (404, {})


def nothing(path: str) -> tuple[int, Any]:
    return 404, {"detail": "nothing of this id"}


class Node:
    """Answers the query API with `pages`."""

    def __init__(self, folder: Path, name: str, role: str, settings: str, pages: Pages) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = (200, {"block": BLOCK}) if "status" in self.path else pages(self.path)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        self.name, self.plan = name, SimpleNamespace(role=role)
        self.rpc_port, self.rpc_url = self.server.server_address[1], name
        self.config = folder / f"{name}.toml"
        self.config.write_text(settings)

    def call(self, method: str) -> str:
        return hex(9)


WITH_BOOK = '[light]\ncontract_names = "0x01"\n'


@pytest.fixture
def findings(tmp_path: Path) -> Iterator[Callable[..., list[Finding]]]:
    made: list[Node] = []
    (tmp_path / REGISTRY).write_text("{}")

    def ask(proved: Pages, indexed: Pages, settings: str = WITH_BOOK) -> list[Finding]:
        nodes = [Node(tmp_path, "replica-1", "replica", "", indexed)]
        nodes.append(Node(tmp_path, "light-1", "light", settings, proved))
        made.extend(nodes)
        network: Any = SimpleNamespace(nodes=nodes, layout=SimpleNamespace(home=tmp_path))
        clients: Any = {node.name: node for node in nodes}
        return list(check_light_clients(network, clients))

    yield ask
    for node in made:
        node.server.shutdown()
        node.server.server_close()


def test_the_same_words_hold_and_what_only_events_tell_may_be_missing(
    findings: Callable[..., list[Finding]],
) -> None:
    (finding,) = findings(invoice(issued=None), invoice(issued={"block": 3}))
    assert finding.holds
    assert "/v1/invoices/1 200" in finding.detail
    (finding,) = findings(nothing, nothing)
    assert finding.holds


def test_other_words_and_other_answers_are_seen(findings: Callable[..., list[Finding]]) -> None:
    (finding,) = findings(invoice(total="6"), invoice())
    assert not finding.holds
    (finding,) = findings(nothing, invoice())
    assert not finding.holds
    (finding,) = findings(lambda path: (409, {"detail": "is not the suite's address book"}), nothing)
    assert "409 is not the suite's address book; replica-1 says 404" in finding.detail


def test_a_light_client_without_an_address_book_is_not_asked(findings: Callable[..., list[Finding]]) -> None:
    assert findings(nothing, invoice(), "[light]\n") == []
