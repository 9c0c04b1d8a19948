"""Ports for the programs that tests start.

Between the choice of a port and the program that listens there, anybody may take it. So they lie below those
that the kernel gives to clients, each worker of a run has its own, and none is given out twice.
"""

import os
import random
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Final

from devnet.layout import HOST
from devnet.ports import is_free

LOWEST, BEYOND = 15_000, 30_000


def _share() -> range:
    """This worker's part of all ports."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % workers
    size = (BEYOND - LOWEST) // workers
    return range(LOWEST + place * size, LOWEST + (place + 1) * size)


def _from_anywhere(share: range) -> Iterator[int]:
    """All of them again and again; another run on this machine begins elsewhere."""
    start = random.randrange(len(share))
    return cycle([*share[start:], *share[:start]])


_SHARE: Final = _share()
_PORTS: Final = _from_anywhere(_SHARE)


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody has."""
    row: list[int] = []
    for port in islice(_PORTS, len(_SHARE)):
        neighbours = row if row and row[-1] + 1 == port else []
        row = [*neighbours, port] if is_free(HOST, port) else []
        if len(row) == count:
            return row[0]
    raise AssertionError("no free ports")


def free_port() -> int:
    """One that nobody has."""
    return free_ports(1)
