"""Requests made beforehand, poured over kept connections at a steady rate by one thread: little work is left.

Whoever measures a node on its own machine takes its time away: here nothing is encoded, decoded or signed
while requests are sent, and answers are looked at once all have come.
"""

import json
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

RECEIVED_BYTES: Final = 1 << 16
SILENCE_S: Final = 60.0
"""Nobody answers for so long: given up."""


@dataclass(slots=True)
class Lane:
    """One connection: requests go one after the other, each after the answer to the one before."""

    url: str
    requests: list[bytes]
    every_s: float
    """Between two requests, when the answers come fast enough."""
    after_s: float = 0.0
    """When the first is due."""
    answers: list[bytes] = field(default_factory=list)
    line: socket.socket = field(init=False)
    _received: bytearray = field(default_factory=bytearray)
    _sent: int = 0

    def open(self) -> None:
        """Connect."""
        address = urlsplit(self.url)
        self.line = socket.create_connection((address.hostname, address.port), SILENCE_S)
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is to come."""
        return self._sent > len(self.answers)

    @property
    def is_done(self) -> bool:
        """Whether everything was sent and answered."""
        return len(self.answers) == len(self.requests)

    @property
    def due_s(self) -> float:
        """When the next request should go."""
        return self.after_s + self._sent * self.every_s

    def send(self) -> None:
        """Send the next request: smaller than what a socket takes at once."""
        self.line.sendall(self.requests[self._sent])
        self._sent += 1

    def receive(self) -> None:
        """Take what has come of the answer."""
        data = self.line.recv(RECEIVED_BYTES)
        assert data, f"{self.url} closed a connection"
        self._received += data
        head = self._received.find(b"\r\n\r\n") + 4
        if head < 4:
            return
        body = self._received[head:]
        fields = self._received[:head].lower()
        start = fields.index(b"content-length:") + 15
        if len(body) >= int(fields[start : fields.index(b"\r\n", start)]):
            self.answers.append(bytes(body))
            self._received.clear()


def batch_of(url: str, method: str, items: Sequence[str]) -> bytes:
    """An HTTP request with a batch of calls of one parameter each."""
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": [item]}
        for number, item in enumerate(items)
    ]
    body = json.dumps(calls).encode()
    head = f"POST / HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def pour(lanes: Sequence[Lane]) -> float:
    """Send everything; how many seconds it took. Lanes of slow nodes fall behind, the others do not."""
    poll, by_descriptor = select.poll(), {}
    for lane in lanes:
        lane.open()
        by_descriptor[lane.line.fileno()] = lane
        poll.register(lane.line, select.POLLIN)
    began = time.monotonic()
    while open_lanes := [lane for lane in lanes if not lane.is_done]:
        now_s = time.monotonic() - began
        due_s = now_s + SILENCE_S
        for lane in open_lanes:
            if not lane.is_waiting:
                if lane.due_s <= now_s:
                    lane.send()
                else:
                    due_s = min(due_s, lane.due_s)
        ready = poll.poll(max(1.0, (due_s - now_s) * 1000))
        assert ready or due_s < now_s + SILENCE_S, "no node answers any more"
        for descriptor, _ in ready:
            by_descriptor[descriptor].receive()
    for lane in lanes:
        lane.line.close()
    return time.monotonic() - began


def errors_in(lanes: Sequence[Lane]) -> list[str]:
    """What was refused, in words."""
    words: list[str] = []
    for lane in lanes:
        for answer in lane.answers:
            if b'"error"' in answer:
                words += [_words(each) for each in json.loads(answer) if "error" in each]
    return words


def _words(answer: dict[str, Any]) -> str:
    return str(answer["error"].get("message"))
