import os
import socket
from collections.abc import Iterator

import pytest

from devnet.ports import describe_owner, is_free


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_with_a_listener_is_taken_and_its_owner_named(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert not is_free("127.0.0.1", port)
    assert f"process {os.getpid()} (" in describe_owner(port)


def test_a_port_is_free_again_after_its_listener(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    assert is_free("127.0.0.1", port)
    assert "just ended" in describe_owner(port)
