import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devnet import processes
from devnet.processes import Process

SLEEP = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
EXIT_THREAD = {"x86_64": 60, "aarch64": 93}
"""The number of the system call that ends the thread that makes it, and no other."""
Start = Callable[[tuple[str, ...]], Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def run(command: tuple[str, ...]) -> Process:
        started.append(processes.start(command, tmp_path / "log", tmp_path / "record.json"))
        return started[-1]

    yield run
    for process in started:
        processes.kill(process)


def wait_log(tmp_path: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline, f"{text!r} did not come"
        time.sleep(0.01)


def test_a_started_process_is_known_again_by_its_record(start: Start, tmp_path: Path) -> None:
    process = start(SLEEP)
    wait_log(tmp_path, "here")
    assert processes.recorded(tmp_path / "record.json") == process
    assert processes.state(process) == "running"
    assert "time.sleep(600)" in (processes.command_of(process.pid) or "")


def test_it_lives_in_a_session_of_its_own(start: Start) -> None:
    process = start(SLEEP)
    session = (Path("/proc") / str(process.pid) / "stat").read_text().rpartition(")")[2].split()[3]
    assert int(session) == process.pid


def test_a_pid_that_somebody_else_has_now_is_not_ours(start: Start) -> None:
    process = start(SLEEP)
    stale = dataclasses.replace(process, started=process.started - 1)
    assert processes.state(stale) == "stopped"
    assert processes.send(stale, signal.SIGKILL) is False
    assert processes.state(process) == "running"


def test_a_record_of_another_boot_is_not_ours(start: Start) -> None:
    assert processes.state(dataclasses.replace(start(SLEEP), boot="before")) == "stopped"


def test_stop_ends_it_politely_even_when_it_was_paused(start: Start) -> None:
    process = start(SLEEP)
    assert processes.pause(process)
    assert processes.state(process) == "paused"
    assert processes.stop(process, grace_s=60) is True
    assert processes.state(process) == "stopped"


def test_it_runs_until_its_last_thread_has_gone(start: Start, tmp_path: Path) -> None:
    """As after a kill for a moment: the first thread has ended, and another one still holds the ports."""
    leaves = EXIT_THREAD.get(os.uname().machine) or pytest.skip("what the call is here is not known")
    process = start((
        sys.executable,
        "-c",
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start();"
        f"print('here', flush=True); ctypes.CDLL(None).syscall({leaves}, 0)",
    ))  # fmt: skip
    wait_log(tmp_path, "here")
    table = Path("/proc") / str(process.pid) / "stat"
    deadline = time.monotonic() + 60
    while ") Z " not in table.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert processes.state(process) == "running"
    processes.kill(process)
    assert processes.state(process) == "stopped"


def test_what_was_paused_goes_on(start: Start) -> None:
    process = start(SLEEP)
    assert processes.pause(process)
    assert processes.resume(process)
    assert processes.state(process) == "running"


def test_what_ignores_a_polite_request_is_killed(start: Start, tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    process = start((sys.executable, "-c", stubborn))
    wait_log(tmp_path, "deaf")
    assert processes.stop(process, grace_s=0.1) is False
    assert processes.state(process) == "stopped"


def test_what_has_ended_by_itself_is_stopped_and_not_a_zombie(start: Start) -> None:
    process = start((sys.executable, "-c", "raise SystemExit(3)"))
    assert processes.wait_stopped(process, timeout_s=20)
    assert not (Path("/proc") / str(process.pid)).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_record_is_nobody(tmp_path: Path, content: str) -> None:
    record = tmp_path / "record.json"
    record.write_text(content)
    assert processes.recorded(record) is None
    assert processes.state(None) == "stopped"
