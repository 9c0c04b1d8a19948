"""A TCP connection of a client that gives way to other tasks only where it has to wait.

trio's own stream asks the kernel whether there is something to read before it waits, and lets all other tasks
run after each send: twice the work of a small request and its answer. Here reading always waits, which lets
the others run; sending does when the client does not take it all at once, and now and then.
"""

import errno
import socket
from typing import Final

import trio

SENDS_PER_TURN: Final = 16
"""Sends in a row that went at once before other tasks get their turn."""
BUFFER_BYTES: Final = 65536

_CLOSED_HERE: Final = (errno.EBADF, errno.ENOTSOCK)


class QuickStream(trio.abc.HalfCloseableStream):
    """Takes over the socket of a trio.SocketStream, which must not be used any more."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._socket = socket.socket(fileno=stream.socket.detach())
        self._socket.setblocking(False)
        self._sends = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See trio.abc.ReceiveStream."""
        client = self._socket
        while True:
            if client.fileno() < 0:
                raise trio.ClosedResourceError("this connection was closed here")
            await trio.lowlevel.wait_readable(client)
            self._sends = 0
            try:
                return client.recv(max_bytes or BUFFER_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise _broken(error) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See trio.abc.SendStream."""
        left = memoryview(data)
        while True:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                pass
            except OSError as error:
                raise _broken(error) from error
            if not left:
                break
            self._sends = 0
            await trio.lowlevel.wait_writable(self._socket)
        self._sends += 1
        if self._sends >= SENDS_PER_TURN:
            self._sends = 0
            await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await trio.lowlevel.wait_writable(self._socket)

    async def send_eof(self) -> None:
        """See trio.abc.HalfCloseableStream."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _broken(error) from error
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """See trio.abc.AsyncResource."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()


def _broken(error: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
    if error.errno in _CLOSED_HERE:
        return trio.ClosedResourceError("this connection was closed here")
    return trio.BrokenResourceError(f"the connection broke: {error}")
