"""Rights that change on the chain, on record here once they are final: organisations, nodes, accounts, board.

What is read are the events of the contracts behind the ingresses that this node's rules come from. The chain
keeps them for ever; the record says when this node knew of them, beside all else that was done.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import trio

from node.audit.records import Facts, Kind
from node.audit.trail import AuditTrail
from node.backends.chain import ReaderBackend
from node.chain.opening import Chain
from node.chain.reader import ChainReader
from node.permissioning.accounts import LISTS, REPAIR
from node.permissioning.contract import registered
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address, hex_of
from node.primitives.receipt import Log
from node.replica.events import decode_event
from node.rpc.logs import BloomMasks, LogCriteria

TOLD: Final[Mapping[str, frozenset[str]]] = {
    "Organisations": frozenset({
        "OrganisationAdded", "OrganisationSuspended", "NodeAdded", "NodeRemoved", "AccountAdded",
        "AccountRolesChanged", "AccountRemoved", "IngressesChanged",
    }),
    "Board": frozenset({"MemberAdmitted", "MemberRemoved", "MemberWeightChanged", "KeyDelegated"}),
    "AccountIngress": frozenset({"IngressStartedBy", "RegistryUpdated"}),
}  # fmt: skip
"""The events that give or take rights, by contract. Both ingresses have the same."""
INGRESS: Final = "AccountIngress"
BATCH_BLOCKS: Final = 512
"""So many are looked at in one turn of the worker thread."""


class ChainRights:
    """What changes rights on one chain; one thread at a time."""

    def __init__(self, chain: Chain, node_ingress: str | None) -> None:
        """`node_ingress`: as in the settings, where the rules for nodes are."""
        self._reader: ChainReader = chain.reader
        self._caller = chain.caller
        spec = chain.reader.spec.account_permissioning
        named = [] if spec is None else [spec.ingress]
        if node_ingress is not None:
            named.append(Address(bytes.fromhex(node_ingress[2:])))
        self._ingresses = tuple(dict.fromkeys(named))

    def __bool__(self) -> bool:
        """Whether this node has rules on the chain at all."""
        return bool(self._ingresses)

    def changes(self, first: int, last: int) -> list[Facts]:
        """Of the blocks from `first` to `last`, all final: what changed. Blocking."""
        end = self._reader.header_by_number(last)
        if end is None:
            return []
        contracts = self._contracts(end)
        masks = LogCriteria(frozenset(contracts)).bloom_masks()
        return [
            facts
            for number in range(first, last + 1)
            for facts in self._changes_of(self._reader.header_by_number(number), contracts, masks)
        ]

    def _contracts(self, header: Header) -> dict[Address, str]:
        """Names of ABIs by address, as of a block."""
        found = dict.fromkeys(self._ingresses, INGRESS)
        try:
            view = self._reader.state_at(header.hash)
        except RequestError:  # a state that is not kept: the ingresses say what they are changed to
            return found
        for name, contract in ((LISTS, "Organisations"), (REPAIR, "Board")):
            for ingress in self._ingresses:
                address = registered(self._caller, header, view, ingress, name)
                if address is not None:
                    found[address] = contract
        return found

    def _changes_of(
        self, header: Header | None, contracts: Mapping[Address, str], masks: BloomMasks
    ) -> Iterator[Facts]:
        if header is None or not masks.may_match(header.logs_bloom):
            return
        body, receipts = self._reader.body(header.hash), self._reader.receipts(header.hash)
        if body is None or receipts is None:
            return
        for tx, receipt in zip(body.transactions, receipts, strict=True):
            for log in receipt.logs:
                facts = _facts_of(contracts.get(log.address), log)
                if facts is not None:
                    yield {"block": header.number, "transaction": hex_of(tx.hash), **facts}


async def record_rights(chain: Chain, rights: ChainRights, trail: AuditTrail) -> None:
    """Record what changes from now on as it becomes final, until cancelled."""
    if not rights:
        return
    blocks = ReaderBackend(chain.reader, chain.state)
    told = blocks.finalized_header().number
    while True:
        # The events cut off who falls behind: what was missed is between the last final block and this one.
        with chain.reader.events.subscribe() as heads:
            async for _ in heads:
                final = blocks.finalized_header().number
                while told < final:
                    last = min(final, told + BATCH_BLOCKS)
                    for facts in await trio.to_thread.run_sync(rights.changes, told + 1, last):
                        trail.note(Kind.ROLE_CHANGED, "chain", facts)
                    told = last


def _facts_of(contract: str | None, log: Log) -> Facts | None:
    event = None if contract is None else decode_event(contract, log)
    if contract is None or event is None or event.type.name not in TOLD[contract]:
        return None
    plain = {name: _plain(value) for name, value in event.arguments.items()}
    return {"event": event.type.name, "contract": hex_of(log.address), **plain}


def _plain(value: Any) -> str | int | bool:
    return hex_of(value) if isinstance(value, bytes) else value
