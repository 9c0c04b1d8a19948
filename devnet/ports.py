"""Who has a port. A port that is taken is never silently exchanged for another one."""

import errno
import os
import socket
from pathlib import Path
from typing import Final

from devnet.processes import PROC, command_of

_LISTEN: Final = "0A"


def is_free(host: str, port: int) -> bool:
    """Whether a listener could have this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def describe_owner(port: int) -> str:
    """Who listens on a port, in words: pid and command line when we are allowed to see them."""
    sockets = _listening_inodes(port)
    for folder in PROC.glob("[0-9]*/fd"):
        if _holds(folder, sockets):
            pid = int(folder.parent.name)
            return f"process {pid} ({command_of(pid) or 'unknown command'})"
    return "a process that this user may not see" if sockets else "a connection that has just ended"


def listens(pid: int, port: int) -> bool:
    """Whether this process of ours is the one that listens on this port."""
    return _holds(PROC / str(pid) / "fd", _listening_inodes(port))


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = (PROC / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _holds(folder: Path, sockets: set[str]) -> bool:
    try:
        return any(os.readlink(link) in sockets for link in folder.iterdir())
    except OSError:
        return False  # not ours to see, or gone
