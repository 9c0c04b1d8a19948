"""The client library: whatever one replica does, a read finds its answer at another."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from node.replica.client import ClientOptions, NoReplica, QueryRefused, ReplicaClient, RpcRefused

QUICK = ClientOptions(timeout_s=5, patience_s=0.5, probe_interval_s=3600)


@dataclass
class Scripted:
    """A replica that answers what it is told to answer."""

    number: int = 10
    status: int = 200
    problem: str = "stale"
    breaks: bool = False
    asked: list[str] = field(default_factory=list)
    pages: int = 1
    url: str = ""

    def answer(self, target: str) -> tuple[int, object]:
        self.asked.append(target)
        if self.status != 200:
            return self.status, {"type": self.problem, "detail": "no", "title": "", "status": self.status}
        page = int(target.partition("cursor=")[2] or 0)
        return 200, {
            "data": [page],
            "next_cursor": str(page + 1) if page + 1 < self.pages else None,
            "block": {"number": self.number, "hash": "0xaa", "time": 1},
            "staleness_s": 0.5,
        }


@contextmanager
def serving(replica: Scripted) -> Iterator[Scripted]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if replica.breaks:
                self.close_connection = True
                self.connection.shutdown(2)
                return
            self._send(*replica.answer(self.path))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            replica.asked.append(asked["method"])
            known = asked["method"] == "eth_blockNumber"
            error = {"error": {"code": -32601, "message": "unknown"}}
            self._send(200, {"id": 1, "result": hex(replica.number)} if known else error)

        def _send(self, status: int, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    replica.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield replica
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def region() -> Iterator[Callable[..., tuple[ReplicaClient, Scripted, Scripted]]]:
    """A client and its two replicas."""
    with serving(Scripted()) as one, serving(Scripted()) as other:
        clients = []

        def make(options: ClientOptions = QUICK):
            clients.append(ReplicaClient([one.url, other.url], options))
            return clients[-1], one, other

        yield make
        for client in clients:
            client.close()


def test_an_answer_says_of_which_block_it_is_and_who_gave_it(region):
    client, one, _ = region()
    answer = client.get("/v1/invoices/7", finality="final")
    assert (answer.data, answer.block_number, answer.staleness_s) == ([0], 10, 0.5)
    assert answer.served_by == one.url
    assert one.asked == ["/v1/invoices/7?finality=final"]


@pytest.mark.parametrize(
    "trouble",
    [{"status": 503}, {"status": 500}, {"status": 409, "problem": "block-not-reached"}, {"breaks": True}],
)
def test_a_read_that_one_replica_cannot_answer_is_answered_by_the_other(region, trouble):
    client, one, other = region()
    for name, value in trouble.items():
        setattr(one, name, value)
    assert client.get("/v1/invoices").served_by == other.url
    assert client.replicas[0].failures == 1


def test_a_replica_that_is_well_again_is_used_again(region):
    client, one, other = region()
    one.status = 503
    assert client.get("/v1/invoices").served_by == other.url
    one.status, other.status = 200, 503
    client.probe(client.replicas[0])
    assert client.get("/v1/invoices").served_by == one.url


def test_even_a_replica_in_its_pause_is_asked_when_all_others_fail(region):
    client, one, other = region()
    one.status = 503
    client.get("/v1/invoices")
    one.status, other.status = 200, 503
    assert client.get("/v1/invoices").served_by == one.url


def test_a_replica_that_lags_is_left_for_one_that_is_ahead_and_no_read_goes_backwards(region):
    client, one, other = region()
    other.number = 20
    client.probe(client.replicas[1])
    assert client.get("/v1/invoices").block_number == 20
    one.number = 40
    client.probe(client.replicas[0])
    assert client.get("/v1/invoices").served_by == one.url


def test_when_all_lag_the_newest_answer_is_better_than_none(region):
    client, one, other = region()
    one.number = 50
    client.get("/v1/invoices")
    one.number, other.number = 10, 20
    assert client.get("/v1/invoices").block_number == 20


def test_what_is_wrong_with_the_question_is_asked_of_one_replica_only(region):
    client, one, other = region()
    one.status, one.problem = 404, "not-found"
    with pytest.raises(QueryRefused, match="not-found"):
        client.get("/v1/invoices/9")
    assert other.asked == []


def test_a_list_goes_on_at_another_replica_by_the_same_cursor(region):
    client, one, other = region()
    one.pages = other.pages = 3
    seen = []
    for item in client.items("/v1/invoices"):
        seen.append(item)
        one.status = 503
    assert seen == [0, 1, 2]
    assert len(one.asked) == 2
    assert len(other.asked) == 2


def test_when_nobody_answers_the_reasons_of_all_are_told(region):
    client, one, other = region()
    one.status = other.status = 503
    with pytest.raises(NoReplica) as caught:
        client.get("/v1/invoices")
    assert caught.value.reasons.keys() == {one.url, other.url}


def test_json_rpc_reads_fail_over_too_and_its_errors_are_the_callers(region):
    client, _, other = region()
    other.number = 255
    assert client.call("eth_blockNumber") == "0xa"
    with pytest.raises(RpcRefused, match="unknown"):
        client.call("eth_nothing")
    client.replicas[0].url = "http://127.0.0.1:1"
    assert client.call("eth_blockNumber") == "0xff"
