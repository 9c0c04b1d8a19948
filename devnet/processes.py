"""Processes that outlive the command that started them, known again by pid and start time.

A pid alone may have been given to somebody else since; together with the time its process started (field 22
of /proc/PID/stat, in clock ticks since boot) and the boot, it is unmistakable.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

PROC: Final = Path("/proc")
POLL_S: Final = 0.05

State = Literal["running", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class Process:
    """One process, this very one."""

    pid: int
    started: int
    """Clock ticks between boot and its start."""
    boot: str
    """The kernel's id of this boot."""


def start(
    command: Sequence[str], log: Path, record: Path, environment: Mapping[str, str] = os.environ
) -> Process:
    """Start `command` in a session of its own, so that neither our end nor a Ctrl-C here reaches it.

    What it writes is appended to `log`; who it is is kept in `record`.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        pid = os.posix_spawn(
            command[0],
            list(command),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
    stat = _stat(pid)
    assert stat is not None  # our child: it stays in the table, if only as a zombie, until we reap it
    process = Process(pid, stat[1], _boot())
    record.write_text(json.dumps(asdict(process)) + "\n")
    return process


def recorded(record: Path) -> Process | None:
    """Who was started last with this record; None when nobody was, or the record is damaged."""
    try:
        return Process(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def state(process: Process | None) -> State:
    """Whether this very process runs."""
    if process is None or process.boot != _boot():
        return "stopped"
    _reap(process.pid)
    stat = _stat(process.pid)
    if stat is None or stat[1] != process.started:
        return "stopped"
    if stat[0] in "ZX":
        return "running" if _has_threads(process.pid) else "stopped"
    return "paused" if stat[0] in "Tt" else "running"


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal; False when the process has gone."""
    if state(process) == "stopped":
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def pause(process: Process) -> bool:
    """Freeze it, wherever it is; True once it stands."""
    return send(process, signal.SIGSTOP) and _wait(process, "paused", timeout_s=5.0)


def resume(process: Process) -> bool:
    """Let it go on; True once it runs."""
    return send(process, signal.SIGCONT) and _wait(process, "running", timeout_s=5.0)


def stop(process: Process, grace_s: float) -> bool:
    """Ask it to end, and make it end after `grace_s`; False when it had to be killed."""
    send(process, signal.SIGTERM)
    # A paused process takes the request only after it goes on.
    send(process, signal.SIGCONT)
    if wait_stopped(process, grace_s):
        return True
    kill(process)
    return False


def kill(process: Process) -> None:
    """End it at once, as a power cut would."""
    send(process, signal.SIGKILL)
    wait_stopped(process, timeout_s=10.0)


def wait_stopped(process: Process, timeout_s: float) -> bool:
    """Wait for its end; False when it still runs after `timeout_s`."""
    return _wait(process, "stopped", timeout_s)


def command_of(pid: int) -> str | None:
    """The command line of any process; None when it has gone or is not ours to see."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    return b" ".join(words).decode(errors="replace").strip() or None


def _wait(process: Process, wanted: State, timeout_s: float) -> bool:
    """Signals take effect a moment after they are sent."""
    deadline = time.monotonic() + timeout_s
    while state(process) != wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _stat(pid: int) -> tuple[str, int] | None:
    """(state letter, start in clock ticks) of a process; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses and may hold anything, so count from behind it.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _has_threads(pid: int) -> bool:
    """Whether threads outlive the first one: until the last has gone, files and ports are held."""
    try:
        return len(list((PROC / str(pid) / "task").iterdir())) > 1
    except OSError:
        return False


def _reap(pid: int) -> None:
    """Take the exit status when it is our own child, or it would stay in the table as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
