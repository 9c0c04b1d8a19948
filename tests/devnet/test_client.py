import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from devnet.client import RpcClient, RpcError, Unreachable

Reply = Callable[[Any], Any]


class Server:
    """Answers each request with `reply(request)`; hangs up after each answer when told to."""

    def __init__(self) -> None:
        self.reply: Reply = lambda request: {"id": request["id"], "result": request["params"]}
        self.hangs_up = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(outer.reply(request)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = outer.hangs_up

            def log_message(self, *args: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[RpcClient]:
    made = RpcClient(server.url, timeout_s=5)
    yield made
    made.close()


def test_a_call_gives_the_result(client: RpcClient) -> None:
    assert client.call("eth_call", {"to": "0x"}, "latest") == [{"to": "0x"}, "latest"]


def test_an_error_keeps_code_message_and_data(server: Server, client: RpcClient) -> None:
    server.reply = lambda request: {"id": 1, "error": {"code": 3, "message": "reverted", "data": "0xab"}}
    with pytest.raises(RpcError, match=r"eth_call: reverted \(code 3\)") as caught:
        client.call("eth_call")
    assert (caught.value.code, caught.value.data) == (3, "0xab")


def test_a_batch_is_answered_in_order_whatever_the_order_of_the_replies(
    server: Server, client: RpcClient
) -> None:
    server.reply = lambda requests: [
        {"id": each["id"], "error": {"code": -1, "message": "no"}} if each["method"] == "bad" else
        {"id": each["id"], "result": each["method"]}
        for each in reversed(requests)
    ]  # fmt: skip
    one, bad, two = client.batch([("one", ()), ("bad", ()), ("two", ())])
    assert (one, two) == ("one", "two")
    assert isinstance(bad, RpcError)
    assert client.batch([]) == []


def test_a_long_batch_goes_in_pieces_that_nodes_take(server: Server, client: RpcClient) -> None:
    sizes: list[int] = []

    def reply(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sizes.append(len(requests))
        return [{"id": each["id"], "result": each["params"]} for each in requests]

    server.reply = reply
    answers = client.batch([("m", (number,)) for number in range(600)])
    assert answers == [[number] for number in range(600)]
    assert sizes == [250, 250, 100]


def test_a_batch_without_one_of_its_answers_is_an_error_in_its_place(
    server: Server, client: RpcClient
) -> None:
    server.reply = lambda requests: []
    (answer,) = client.batch([("one", ())])
    assert isinstance(answer, RpcError)


def test_a_connection_that_was_closed_meanwhile_is_made_again(server: Server, client: RpcClient) -> None:
    server.hangs_up = True
    assert [client.call("m", number) for number in range(3)] == [[0], [1], [2]]


def test_nobody_listening_and_nonsense_are_unreachable(server: Server, client: RpcClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        RpcClient(f"http://127.0.0.1:{port}").call("m")
    server.reply = lambda request: "no batch"
    with pytest.raises(Unreachable, match="a batch was answered with"):
        client.batch([("m", ())])
