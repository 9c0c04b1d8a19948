"""Two that share a key: one is active, the other stands by; and the guard stands behind the lease."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trio

from devnet.network import wait_until
from node.config.settings import SigningSettings
from node.primitives.ids import Address, hex_of
from node.signing.exclusive import held_exclusively
from node.signing.guard import GuardedSigner
from node.signing.keystore import KeyStoreError, store_key
from node.signing.lease import KeyLease, Leased
from node.signing.lease_watch import lease_watch
from node.signing.remote import open_remote
from node.signing.signer import LeasedElsewhere
from node.storage.memory import MemoryKV
from tests.signing.headers import request
from tests.signing.racer import KEY, settings_for
from tests.signing.signer_process import in_key_store, serving, signer_files
from tests.signing.test_service import World, running

WHOSE = Address(b"\x01" * 20)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def lease_over(kv: MemoryKV, clock: Clock, length_s: float = 30.0) -> KeyLease:
    return KeyLease(kv, WHOSE, 1, length_s, clock)


def test_one_has_it_until_it_was_not_heard_of_for_the_whole_length() -> None:
    clock = Clock()
    lease = lease_over(MemoryKV(), clock)
    lease.take("a")
    clock.now += 29
    lease.take("a")
    clock.now += 29
    with pytest.raises(Leased, match=r"leased to a for another 1\.0 s"):
        lease.take("b")
    clock.now += 1
    lease.take("b")
    with pytest.raises(Leased, match="leased to b"):
        lease.take("a")


def test_it_is_given_back_by_its_holder_only() -> None:
    lease = lease_over(MemoryKV(), Clock())
    lease.take("a")
    lease.give_back("b")
    with pytest.raises(Leased):
        lease.take("b")
    lease.give_back("a")
    lease.take("b")


def test_after_a_restart_of_the_signer_its_holder_has_the_whole_time_again() -> None:
    kv, clock = MemoryKV(), Clock()
    lease_over(kv, clock).take("a")
    again = Clock(now=5.0)  # another boot: the clock began anew
    lease = lease_over(kv, again)
    with pytest.raises(Leased, match=r"another 30\.0 s"):
        lease.take("b")
    lease.take("a")
    again.now += 30
    lease.take("b")


def test_without_a_length_there_is_none() -> None:
    lease = lease_over(MemoryKV(), Clock(), length_s=0)
    for holder in "ab":
        lease.take(holder)


@pytest.mark.parametrize("dialect", ["web3signer", "clef"])
async def test_a_second_node_stands_by_in_either_dialect(world: World, dialect: str) -> None:
    async with running(world):
        first = GuardedSigner(world.remote(world.alice, dialect), MemoryKV(), 1337)
        second = GuardedSigner(world.remote(world.alice, dialect), MemoryKV(), 1337)
        await first.sign(request(1))
        with pytest.raises(LeasedElsewhere, match=r"leased to alice/[0-9a-f]{32}"):
            await second.sign(request(2))
        await first.sign(request(2))


async def test_a_node_holds_its_lease_and_gives_it_back_when_it_ends(world: World) -> None:
    async with running(world):
        settings = settings_for(world.folder, world.port)
        nodes = [GuardedSigner(world.remote(world.alice), MemoryKV(), 1337) for _ in range(2)]
        watches = [lease_watch(settings, node) for node in nodes]
        async with trio.open_nursery() as second:
            async with trio.open_nursery() as first:
                first.start_soon(watches[0].run)
                await nodes[0].sign(request(1))
                second.start_soon(watches[1].run)
                await until(lambda: watches[1].problem is not None)
                assert "standing by" in str(watches[1].problem)
                first.cancel_scope.cancel()
            await until(lambda: watches[1].problem is None)
            await nodes[1].sign(request(2))
            second.cancel_scope.cancel()


@pytest.mark.parametrize("answer", [b"OK", b'{"jsonrpc":"2.0","error":{}}', b"[]"])
async def test_a_signer_that_says_something_else_knows_no_leases(answer: bytes) -> None:
    """As Web3Signer, which passes on what it does not know to whatever stands behind it."""

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, talk, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        settings = SigningSettings(backend="remote", remote_url=url, remote_address=hex_of(KEY.address))
        watch = lease_watch(settings, GuardedSigner(open_remote(settings), MemoryKV(), 1337))
        assert watch is not None
        with trio.fail_after(60):
            await watch.run()
        assert watch.problem is None
        nursery.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not holds():  # noqa: ASYNC110
            await trio.sleep(0.01)


class Racer:
    """A process in the race, and what it has said so far: it is read all the time, and never stands still."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        command = [sys.executable, "-m", "tests.signing.racer", name, str(folder), str(port), "1", "1000000"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.said: list[dict[str, Any]] = []
        self._reader = Thread(target=self._read)
        self._reader.start()

    def heights(self) -> list[int]:
        return [line["height"] for line in self.said if "height" in line]

    def stands_by(self) -> bool:
        return any("stands_by" in line for line in self.said)

    def kill(self) -> None:
        """As in a power cut; all that it had said is known afterwards."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.said.extend(map(json.loads, lines))


def test_of_two_processes_that_race_one_signs_and_the_other_goes_on_when_it_dies(tmp_path: Path) -> None:
    files = signer_files(tmp_path, "alice", in_key_store(tmp_path, KEY, 1337), settings="lease_s = 1.0\n")
    with serving(files):
        racers = [Racer(name, tmp_path, files.port) for name in ("one", "two")]
        try:
            wait_until(lambda: any(racer.heights() for racer in racers), 60, "one signs")
            wait_until(lambda: any(racer.stands_by() for racer in racers), 60, "the other stands by")
            idle = next(racer for racer in racers if racer.stands_by())
            (active,) = [racer for racer in racers if racer is not idle]
            active.kill()
            highest = max(active.heights(), default=0)
            wait_until(lambda: max(idle.heights(), default=0) >= highest + 3, 60, "the other goes on")
        finally:
            for racer in racers:
                racer.kill()
    digests: dict[int, str] = {}
    for line in (line for racer in racers for line in racer.said if "height" in line):
        assert digests.setdefault(line["height"], line["digest"]) == line["digest"]


def test_a_key_store_has_one_process(tmp_path: Path) -> None:
    file = store_key(tmp_path / "keys", KEY, "pw", scrypt_n=1 << 4).path
    refuses_a_second(SigningSettings(keystore=file), "another process signs with this key")


def test_a_key_in_a_token_has_one_process() -> None:
    settings = SigningSettings(backend="pkcs11", pkcs11_module=Path("/m"), pkcs11_token="t", pkcs11_key="k")
    with held_exclusively(replace(settings, pkcs11_key="another")):
        refuses_a_second(settings, "another process of this machine")


def refuses_a_second(settings: SigningSettings, words: str) -> None:
    refused = pytest.raises(KeyStoreError, match=words)
    with held_exclusively(settings), refused, held_exclusively(settings):
        pass
    with held_exclusively(settings):
        pass  # the first one has ended
