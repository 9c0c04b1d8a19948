"""Permissioning at work in a node: who may connect and what the pool may take, kept up to date.

The file is read again when it has changed, or on SIGHUP. Live connections are looked at again at every new
head and after every change of the file; the pool of peers is only disturbed when an answer is another one.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import trio

from node.app.parts import Node
from node.audit.records import Facts, Kind
from node.backends.chain import ReaderBackend
from node.config.data_dir import permissions_path
from node.permissioning.allowlist import AllowListFile
from node.permissioning.changes import changes
from node.permissioning.node_rules import ChainNodeRules
from node.permissioning.nodes import NodeRules
from node.permissioning.policy import Decision, Meeting
from node.primitives.ids import Address
from p2p.enode import Enode, parse_enode
from p2p.pool import PeerPool
from p2p.reports import PeerInfo

CHANGES_IN_RECORD: Final = 32
FILE_CHECK_S: Final = 1.0
"""How often it is looked whether the file has changed."""
OLD_PERIODS: Final = 20
"""A head is old after so many block periods, and at least `OLD_S_LEAST`."""
OLD_S_LEAST: Final = 30.0

log = logging.getLogger(__name__)


class Permits:
    """Whom this node meets."""

    def __init__(self, node: Node, own_id: bytes, unix_time: Callable[[], float] = time.time) -> None:
        settings = node.settings.permissioning
        self.own_id = own_id
        self.refused = 0
        """Connections refused, for the metrics."""
        self.chain: ChainNodeRules | None = None
        self._node = node
        self._reader = node.chain.reader
        self._unix_time = unix_time
        self._pool: PeerPool | None = None
        self._company = False
        self._told = None if node.members is None else node.members.current
        """The list that the audit log knows of."""
        self._static = frozenset(parse_enode(url).public_key for url in node.settings.p2p.static_peers)
        self._answers: dict[tuple[bytes, bool], bool] = {}
        if settings.node_ingress is not None:
            self.chain = ChainNodeRules(
                node.chain.caller,
                ReaderBackend(node.chain.reader, node.chain.state),
                node.chain.reader.state_at,
                Address(bytes.fromhex(settings.node_ingress[2:])),
                own_id,
                permissions_path(node.settings.data_dir),
            )
        self.rules = NodeRules(
            own_id,
            file=node.members,
            chain=self.chain,
            static=self._static_ids,
            is_lost=self._is_lost,
            seals=node.settings.role == "validator",
        )

    @property
    def problem(self) -> str | None:
        """What an operator must mend; None when all is well."""
        return None if self._node.members is None else self._node.members.problem

    # --- asked by the pool of peers

    def permit(self, info: PeerInfo) -> str | None:
        """Why a peer may not be connected; None when it may."""
        meeting = meeting_of(info)
        decision = self.rules.decide(meeting)
        if decision.allowed:
            return None
        self.refused += 1
        facts: dict[str, str | bool] = {
            "rule": decision.rule,
            "reason": decision.reason,
            "inbound": info.inbound,
        }
        actor = f"peer:{info.id[:16].hex()}@{info.remote}"
        self._node.audit.note(Kind.PEER_REFUSED, actor, facts)
        return str(decision)

    def may_dial(self, enode: Enode) -> str | None:
        """Why a node may not be dialled; None when it may."""
        decision = self.rules.decide(Meeting(id=enode.public_key, host=enode.host, port=enode.tcp_port))
        return None if decision.allowed else str(decision)

    def explain(self, meeting: Meeting) -> Decision:
        """The decision of this moment."""
        return self.rules.decide(meeting)

    def connected(self) -> tuple[bytes, ...]:
        """Keys of the peers of this moment."""
        return () if self._pool is None else tuple(self._pool.peers)

    def attach(self, pool: PeerPool) -> None:
        """Say whose peers they are; before `run`."""
        self._pool = pool

    # --- deeds

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow chain and file until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._node.members is not None:
                if self._node.members.problem is not None:
                    log.error("the members' file cannot be taken: %s", self._node.members.problem)
                nursery.start_soon(self._watch_file)
                nursery.start_soon(self._hear_hangups)
            nursery.start_soon(self._follow_chain)
            task_status.started()

    async def reload(self) -> None:
        """Read the file now, and act on it."""
        members = self._node.members
        if members is None:
            return
        changed = await trio.to_thread.run_sync(members.reload)
        if members.problem is not None:
            log.error("the members' file cannot be taken, the old list stays: %s", members.problem)
        elif changed and members.current is not None:
            log.warning("the members' file was read", extra={"members": len(members.current.members)})
        self._record_changes(members)
        self.recheck()

    def _record_changes(self, members: AllowListFile) -> None:
        """Who is listed otherwise, whether the file was changed by hand or by an administrator's call."""
        before, now = self._told, members.current
        if now is None or now == before:
            return
        self._told = now
        lines = changes(before, now)
        for start in range(0, len(lines), CHANGES_IN_RECORD):
            some = lines[start : start + CHANGES_IN_RECORD]
            facts: Facts = {"members": len(now.members), "changes": some}
            self._node.audit.note(Kind.ROLE_CHANGED, "file", facts)

    def recheck(self) -> None:
        """Ask again for all who are connected or dialled; tell the pool when an answer is another one."""
        pool = self._pool
        if pool is None:
            return
        meetings = [meeting_of(peer.info()) for peer in pool.peers.values()]
        self._company = any(self._is_company(meeting) for meeting in meetings)
        meetings += [Meeting(id=identity) for identity in self._static_ids()]
        answers = {(each.id, each.inbound): self.rules.decide(each).allowed for each in meetings}
        before, self._answers = self._answers, answers
        if any(before.get(key, True) != allowed for key, allowed in answers.items()):
            pool.recheck_permits()

    async def _follow_chain(self) -> None:
        while True:
            with self._reader.events.subscribe() as heads:
                self.recheck()
                async for _ in heads:
                    self.recheck()
                    if self.chain is not None:
                        await trio.to_thread.run_sync(self.chain.save)

    async def _watch_file(self) -> None:
        members = self._node.members
        assert members is not None
        while True:
            await trio.sleep(FILE_CHECK_S)
            if await trio.to_thread.run_sync(members.has_changed):
                await self.reload()

    async def _hear_hangups(self) -> None:
        while True:
            await self._node.hangup()
            await self.reload()

    # --- what rules ask back

    def _static_ids(self) -> frozenset[bytes]:
        if self._pool is None:
            return self._static
        return self._static | {parse_enode(url).public_key for url in self._pool.static_peers}

    def _is_company(self, meeting: Meeting) -> bool:
        """Whether a peer is one whom the chain, as we know it, allows."""
        decision = None if self.chain is None else self.chain.decide(meeting)
        return decision is None or decision.allowed

    def _is_lost(self) -> bool:
        age_s = self._unix_time() - self._reader.head.timestamp
        return not self._company and age_s > max(OLD_S_LEAST, OLD_PERIODS * self._reader.spec.engine.period_s)


def meeting_of(info: PeerInfo) -> Meeting:
    """A connection, as the rules see it."""
    return Meeting(id=info.id, host=info.remote.host, port=info.listen_port, inbound=info.inbound)
