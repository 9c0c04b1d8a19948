"""An upstream that can lie: a real HTTP server that hands requests on to a real node and twists the answers.

with Liar(node_port) as liar:
    liar.twist = lambda method, params, result: altered
    liar.url
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Twist = Callable[[str, list[Any], Any], Any]


class Refuse(Exception):
    """Answer with a JSON-RPC error."""


class Liar:
    """One upstream. Thread-safe enough for tests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.twist: Twist = lambda method, params, result: result
        self.raw: Callable[[BaseHTTPRequestHandler, bytes], bool] = lambda handler, body: False
        """Takes the whole exchange when it returns true."""
        self.asked: list[str] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if liar.raw(self, body):
                    self.close_connection = True
                    return
                answer = liar.answer(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True  # the client has heard enough

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Liar":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: bytes) -> bytes:
        """What the node says, twisted."""
        requests = json.loads(body)
        replies = self.ask_node(body)
        many = isinstance(requests, list)
        asked, given = (requests, replies) if many else ([requests], [replies])
        by_id = {reply["id"]: reply for reply in given}
        twisted = []
        for request in asked:
            self.asked.append(request["method"])
            reply = by_id[request["id"]]
            if "result" in reply:
                reply = self._twisted(request, reply)
            twisted.append(reply)
        return json.dumps(twisted if many else twisted[0]).encode()

    def _twisted(self, request: Any, reply: Any) -> Any:
        try:
            return {**reply, "result": self.twist(request["method"], request["params"], reply["result"])}
        except Refuse as error:
            refusal = {"code": -32000, "message": str(error)}
            return {"jsonrpc": "2.0", "id": reply["id"], "error": refusal}

    def ask_node(self, body: bytes) -> Any:
        """The truth."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def call(self, method: str, *params: Any) -> Any:
        """The truth about one thing."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return self.ask_node(body)["result"]


def on(method: str, change: Callable[[Any], Any]) -> Twist:
    """A twist of one method's answers."""
    return lambda name, params, result: change(result) if name == method else result


def flipped(data: str, at: int = -1) -> str:
    """Hex data with one bit another one."""
    raw = bytearray.fromhex(data[2:])
    raw[at] ^= 1
    return "0x" + raw.hex()


def endless(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
    """An answer without end, in chunks."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    except OSError:
        return True


def dripping(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
    """A byte at a time: no packet is late, the answer always is."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.02)
    except OSError:
        return True


def said(answer: bytes) -> Callable[[BaseHTTPRequestHandler, bytes], bool]:
    """Always the same bytes as a body."""

    def say(handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        return True

    return say
