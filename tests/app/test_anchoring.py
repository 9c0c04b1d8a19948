"""The audit log's head on a real chain: anchored, continued, and what was cut or rewritten is found out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware

from contracts.artifacts import load
from contracts.bindings.audit_log import AuditLog as Contract
from node.app.anchoring import Anchorer, NotAnchored, Tampered
from node.app.own_provider import OwnProvider
from node.audit.batches import FILE, read_batches, records_from, tree_of
from node.audit.files import audit_files
from node.audit.log import AuditLog
from node.audit.merkle import MerkleTree
from node.audit.records import Kind
from node.config.settings import AuditSettings
from node.primitives.crypto import PrivateKey
from node.rpc.api import RpcApi
from tests.audit.logs import LARGE, kinds
from tests.chain.harness import ACCOUNTS, ChainMaker
from tests.rpc.node import running_node

OPERATOR, WRITER = ACCOUNTS[0], ACCOUNTS[1]


@dataclass
class Stage:
    """A chain with the contract, and what speaks to it."""

    api: RpcApi
    web3: Web3
    contract: Contract

    def anchorer(self, audit: AuditLog, **changes: Any) -> Anchorer:
        settings = AuditSettings(**({"anchor_contract": self.contract.address} | changes))
        return Anchorer(settings, "alpha", audit, self.api.dispatcher, PrivateKey(bytes(WRITER.key)))

    def send(self, fields: dict[str, Any]) -> Any:
        sender = OPERATOR.address
        fields |= {"from": sender, "nonce": self.web3.eth.get_transaction_count(sender, "pending")}
        fields.setdefault("gas", 6_000_000)
        fields |= {"gasPrice": 10**10, "chainId": self.web3.eth.chain_id}
        digest = self.web3.eth.send_raw_transaction(OPERATOR.sign_transaction(fields).raw_transaction)
        receipt = self.web3.eth.wait_for_transaction_receipt(digest, timeout=120)
        assert receipt["status"] == 1
        return receipt

    def deploy(self, name: str, *arguments: Any) -> str:
        made = load(name)
        factory = self.web3.eth.contract(abi=made.abi, bytecode=made.bytecode)
        data = factory.constructor(*arguments).data_in_transaction
        return self.send({"data": data})["contractAddress"]


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with running_node(ChainMaker(), sealing=True) as node:
        api = RpcApi(node.backend(), node.settings.rpc)
        web3 = Web3(OwnProvider(api.dispatcher))
        web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

        def build() -> Stage:
            made = Stage(api, web3, None)  # type: ignore[arg-type]
            authority = made.deploy("AccessManager", OPERATOR.address)
            start = Contract(web3, made.deploy("AuditLog"))
            made.contract = Contract(
                web3, made.deploy("ERC1967Proxy", start.address, start.initialize(authority).data)
            )
            return made

        yield await trio.to_thread.run_sync(build)


async def open_log(made: Stage, anchorer: Anchorer) -> None:
    data = made.contract.open_log(anchorer.log_id, WRITER.address).data
    await trio.to_thread.run_sync(made.send, {"to": made.contract.address, "data": data})


def act(audit: AuditLog, times: int) -> None:
    for number in range(times):
        audit.record_blocking(Kind.ADMIN_ACTION, "local", {"number": number})


async def test_the_log_is_anchored_continued_and_every_way_of_cutting_it_is_found_out(tmp_path: Path) -> None:
    async with stage() as made:
        folder = tmp_path / "audit"
        with AuditLog(folder, LARGE, 2_000) as audit:
            act(audit, 30)
            anchorer = made.anchorer(audit)
            with pytest.raises(Exception, match="AuditLogUnknown"):
                await anchorer.anchor()
            await open_log(made, anchorer)
            for size in (1, 2, 3):
                act(audit, 5)
                await anchorer.anchor()
                # One more than anchors: what failed at first had been made already, and goes with the next.
                assert anchorer.anchored.batches == size + 1
                assert await trio.to_thread.run_sync(made.contract.anchor_count, anchorer.log_id) == size
            act(audit, 1)
            # The records since the last anchor: its own, and one more.
            assert anchorer.unanchored <= 3
        assert kinds(folder).count("log.anchored") == 3
        await one_record_is_proved_on_the_chain(made, anchorer, folder)
        await a_log_that_goes_on_is_accepted(made, folder)
        await cut_and_rewritten_logs_are_not(made, folder)


async def one_record_is_proved_on_the_chain(made: Stage, anchorer: Anchorer, folder: Path) -> None:
    """Record -> root of its batch, manifest -> the anchored root, which the contract verifies."""
    batches = read_batches(folder)
    records = list(records_from(folder, batches[1].first, batches[1].last + 1))
    assert MerkleTree([record.hash for record in records]).root().hex() == batches[1].root
    path = tree_of(batches).path(1)
    arguments = (anchorer.log_id, 2, batches[1].entry, 1, path)
    assert await trio.to_thread.run_sync(made.contract.verify_entry, *arguments)
    forged = (anchorer.log_id, 2, b"\x01" * 32, 1, path)
    assert not await trio.to_thread.run_sync(made.contract.verify_entry, *forged)


async def a_log_that_goes_on_is_accepted(made: Stage, folder: Path) -> None:
    with AuditLog(folder, LARGE, 2_000) as audit:
        anchorer = made.anchorer(audit)
        await anchorer.anchor()
        assert anchorer.anchored.batches == 5
        await anchorer.anchor()
        assert anchorer.problem is None


async def cut_and_rewritten_logs_are_not(made: Stage, folder: Path) -> None:
    manifests = folder / FILE
    whole = manifests.read_bytes()
    with AuditLog(folder, LARGE, 2_000) as audit:
        anchorer = made.anchorer(audit)
        manifests.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
        with pytest.raises(Tampered, match="it was cut off"):
            await anchorer.anchor()
        # The loop says so until somebody has looked, and anchors nothing more.
        await anchorer.run()
        assert "cut off" in str(anchorer.problem)
    for path in [*audit_files(folder), manifests]:
        path.unlink()
    with AuditLog(folder, LARGE, 2_000) as audit:
        forger = made.anchorer(audit)
        for _ in range(6):
            act(audit, 5)
            # A forger makes manifests that fit his records, as many as there were.
            from node.audit.batches import next_batch, write_batch

            done = read_batches(folder)
            made_up = next_batch(folder, done[-1].last if done else 0)
            assert made_up is not None
            write_batch(folder, made_up)
        with pytest.raises(Tampered, match="rewritten"):
            await forger.anchor()


async def test_what_fails_is_tried_again_and_told_in_the_end(tmp_path: Path, autojump_clock) -> None:
    with AuditLog(tmp_path, LARGE) as audit:
        now = [0.0]
        settings = AuditSettings(anchor_registry=tmp_path / "contracts.json", anchor_interval_s=60.0)
        anchorer = Anchorer(settings, "a", audit, None, PrivateKey(bytes(WRITER.key)), lambda: now[0])  # type: ignore[arg-type]
        with pytest.raises(NotAnchored, match="does not say where AuditLog is"):
            anchorer._address()

        async def fails() -> None:
            raise NotAnchored("nobody answers")

        anchorer.anchor = fails  # type: ignore[method-assign]  # threads and a clock that jumps do not mix
        with trio.move_on_after(100):
            await anchorer.run()
        assert anchorer.failures == 4
        assert anchorer.problem is None
        now[0] = 181.0
        assert "could not be anchored" in str(anchorer.problem)
