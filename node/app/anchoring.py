"""The head of the audit log, put on the chain now and then, where nobody can take it back.

Each time, the records since the last time become a batch (node/audit/batches.py), its manifest reaches the
disk, and the contract AuditLog is shown that the tree of all batches has only grown. What fails is tried
again and is a problem of health when it goes on failing. If the chain holds more batches than this log, or
others, somebody has cut or rewritten the log: that is said until an operator has looked, and nothing more is
anchored.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from node.app.parts import Node
from node.audit.batches import next_batch, read_batches, tree_of, write_batch
from node.audit.log import LOCAL, AuditLog
from node.audit.records import Fact, Kind
from node.config.settings import AuditSettings
from node.observability.health import Check
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.errors import PhoenixError
from node.rpc.app import Dispatcher
from node.signing.keystore import unlock_key
from node.signing.passwords import find_password

RETRY_S: Final = 30.0
PATIENCE_INTERVALS: Final = 3
RECEIPT_TIMEOUT_S: Final = 120.0
REGISTRY_BYTES_MAX: Final = 4 << 20
CONTRACT: Final = "AuditLog"

log = logging.getLogger(__name__)


class Tampered(PhoenixError):
    """The chain knows another log than the one that lies here."""


class NotAnchored(PhoenixError):
    """This time it did not work; it will be tried again."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """What the chain holds."""

    batches: int = 0
    last_record: int = 0


class Anchorer:
    """Anchors one node's audit log."""

    def __init__(
        self,
        settings: AuditSettings,
        node_name: str,
        audit: AuditLog,
        dispatcher: Dispatcher,
        key: PrivateKey,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key` is of the account that the contract knows as the log's writer."""
        self._settings = settings
        self._key = key
        self._clock = clock
        self._good_at = clock()
        self._audit = audit
        self._dispatcher = dispatcher
        self.log_id = keccak256((settings.anchor_log or f"audit:{node_name}").encode())
        """By which the contract knows this log."""
        self.anchored = Anchored()
        self.failures = 0
        self._failure: str | None = None
        self._tampered = False
        self._one_at_a_time = trio.CapacityLimiter(1)

    @property
    def problem(self) -> str | None:
        """What the operator must know, in one line. A failure or two are none: the chain may be busy."""
        patience_s = PATIENCE_INTERVALS * self._settings.anchor_interval_s
        if self._tampered or self._clock() - self._good_at > patience_s:
            return self._failure
        return None

    @property
    def unanchored(self) -> int:
        """Records that nothing on the chain vouches for yet."""
        return max(0, self._audit.head.number - self.anchored.last_record)

    async def run(self) -> None:
        """Anchor until cancelled, or until the chain shows that the log was tampered with."""
        while True:
            wait_s = self._settings.anchor_interval_s
            try:
                await self.anchor()
            except Tampered as error:
                self._failure, self._tampered = str(error), True
                log.critical("the audit log is not the one that was anchored", extra={"reason": str(error)})
                return
            except Exception as error:
                # Whatever a contract, a key or a node may answer: records go on, anchors come later.
                self.failures += 1
                self._failure = f"the audit log could not be anchored: {error}"
                log.warning("the audit log could not be anchored", extra={"reason": str(error)})
                wait_s = min(wait_s, RETRY_S)
            else:
                self._failure, self._good_at = None, self._clock()
            await trio.sleep(wait_s)

    async def anchor(self) -> None:
        """Once, now. Tampered, NotAnchored, or what web3 raises."""
        await trio.to_thread.run_sync(self._anchor, limiter=self._one_at_a_time, abandon_on_cancel=True)

    # --- in the worker thread

    def _anchor(self) -> None:
        contract = self._contract()
        held = _held(contract, self.log_id)
        folder = self._audit.folder
        batches = read_batches(folder)
        _check(held, tree_of(batches), len(batches))
        new = next_batch(folder, batches[-1].last if batches else 0)
        if new is not None:
            write_batch(folder, new)
            batches.append(new)
        size = len(batches)
        if held is None or held[0] < size:
            tree = tree_of(batches)
            consistency = tree.consistency(held[0] if held else 0, size)
            transaction = self._send(
                contract.anchor(self.log_id, size, tree.root(), batches[-1].entry, consistency)
            )
            facts: dict[str, Fact] = {
                "batches": size,
                "record": batches[-1].last,
                "root": tree.root().hex(),
                "tx": transaction,
            }
            self._audit.note(Kind.LOG_ANCHORED, LOCAL, facts)
            log.info("the audit log was anchored", extra={"batches": size, "record": batches[-1].last})
        self.anchored = Anchored(size, batches[-1].last if batches else 0)

    def _contract(self) -> Any:
        # Imported by who anchors only: it takes a second and 60 MB.
        from web3 import Web3
        from web3.middleware import ExtraDataToPOAMiddleware

        from contracts.bindings.audit_log import AuditLog as Contract
        from node.app.own_provider import OwnProvider

        web3 = Web3(OwnProvider(self._dispatcher))
        web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        return Contract(web3, self._address())

    def _address(self) -> str:
        settings = self._settings
        if settings.anchor_contract is not None:
            return settings.anchor_contract
        assert settings.anchor_registry is not None
        return _address_in(settings.anchor_registry)

    def _send(self, write: Any) -> str:
        """Sign, send and wait until it is in a block; the transaction's hash."""
        web3 = write.target.contract.w3
        account = web3.eth.account.from_key(self._key.secret_bytes())
        fields = write.transaction(
            {"from": account.address, "nonce": web3.eth.get_transaction_count(account.address, "pending")}
        )
        digest = web3.eth.send_raw_transaction(account.sign_transaction(fields).raw_transaction)
        receipt = web3.eth.wait_for_transaction_receipt(digest, timeout=RECEIPT_TIMEOUT_S)
        if receipt["status"] != 1:
            raise NotAnchored(f"the contract refused transaction {digest.to_0x_hex()}")
        return str(digest.to_0x_hex())


def _held(contract: Any, log_id: bytes) -> tuple[int, bytes] | None:
    """(size, root) of the newest anchor; None when there is none."""
    count = contract.anchor_count(log_id)
    if not count:
        return None
    root, _, size, _ = contract.anchor_at(log_id, count - 1)
    return size, bytes(root)


def _check(held: tuple[int, bytes] | None, tree: Any, size: int) -> None:
    """Whether the log is a continuation of what the chain holds; Tampered."""
    if held is None:
        return
    if held[0] > size:
        raise Tampered(
            f"the chain holds {held[0]} batches of this audit log, and {size} are here: it was cut off, or "
            "is another node's; put it back, or anchor under another name (audit.anchor_log)"
        )
    if bytes(tree.root(held[0])) != held[1]:
        raise Tampered(
            f"the first {held[0]} batches of this audit log are not those that the chain holds: it was "
            "rewritten; `phoenix audit verify` on a copy from before shows where"
        )


def _address_in(registry: Path) -> str:
    """Where the deployment has noted the contract; NotAnchored while it has not."""
    try:
        with registry.open("rb") as file:
            return str(json.loads(file.read(REGISTRY_BYTES_MAX))["contracts"][CONTRACT]["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotAnchored(f"{registry} does not say where {CONTRACT} is: {error}") from None


def open_anchor_key(settings: AuditSettings) -> PrivateKey:
    """The key of the account that anchors; KeyStoreError. Worker thread."""
    assert settings.anchor_keystore is not None
    return unlock_key(settings.anchor_keystore, find_password(settings.anchor_password_file))


async def start_anchoring(node: Node, dispatcher: Dispatcher, nursery: trio.Nursery) -> Sequence[Check]:
    """Anchor in a task of its own, if the settings say so; the checks of health that belong to it."""
    settings, audit = node.settings.audit, node.audit
    if settings.anchor_keystore is None or not isinstance(audit, AuditLog):
        return ()
    key = await trio.to_thread.run_sync(open_anchor_key, settings)
    anchorer = Anchorer(settings, node.settings.name, audit, dispatcher, key)
    nursery.start_soon(anchorer.run)
    publish = node.metrics.read_at_scrape
    publish("audit_unanchored_records", "Records that no anchor covers.", lambda: anchorer.unanchored)
    publish("audit_anchor_failures", "Times that anchoring failed.", lambda: anchorer.failures)
    return (lambda: anchorer.problem,)
