"""What the query API answers, as types: the OpenAPI document is made from them, and so is every answer.

Numbers that may pass 53 bits are decimal text; hashes and addresses 0x text in lower case; times Unix
seconds. What only the events tell (where something was recorded, its history) is null from a light client,
which proves the state alone (node.backends.light_queries); a replica always has it.
"""

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class BlockStamp(msgspec.Struct):
    """A block."""

    number: int
    hash: str
    time: int


class Page(msgspec.Struct, Generic[T]):
    """Some of a list, as of a block; `next_cursor` fetches more of the same list, as of the same block."""

    data: list[T]
    next_cursor: str | None
    block: BlockStamp
    staleness_s: float
    """Age of the newest block that this replica has."""


class One(msgspec.Struct, Generic[T]):
    """One thing, as of a block."""

    data: T
    block: BlockStamp
    staleness_s: float


class Problem(msgspec.Struct):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class Status(msgspec.Struct):
    """How far this replica is."""

    chain_id: int
    indexed: BlockStamp
    safe: int
    final: int


class Where(msgspec.Struct):
    """Where on the chain something was recorded."""

    block_number: int
    block_time: int
    log_index: int
    tx_hash: str


class Change(msgspec.Struct):
    """A state, and where it was entered."""

    state: str
    block_number: int
    log_index: int


class Invoice(msgspec.Struct):
    """An invoice of Billing."""

    invoice: str
    account: str
    tenant: str
    period_from: str
    period_to: str
    total: str
    due_at: str
    status: str
    """issued, contested, upheld, settled, settled off chain, voided"""
    issued: Where | None


class InvoiceLine(msgspec.Struct):
    """A line of an invoice; credits are negative."""

    kind: int
    ref: str
    amount: str


class InvoiceDetail(msgspec.Struct):
    """An invoice with its lines and its life."""

    invoice: Invoice
    lines: list[InvoiceLine] | None
    history: list[Change] | None


class Agreement(msgspec.Struct):
    """A service level agreement."""

    agreement: str
    account: str
    resource: str
    oracles: list[str]
    status: str
    """proposed, active, ended"""
    proposed: Where | None


class AgreementDetail(msgspec.Struct):
    """An agreement, its life, and how its windows stand."""

    agreement: Agreement
    history: list[Change] | None
    windows: dict[str, int] | None
    """How many windows are in which state."""
    penalties: str | None
    rewards: str | None
    breaches: int | None


class Window(msgspec.Struct):
    """An assessed window of an agreement."""

    agreement: str
    window: int
    medians: list[str]
    penalty: str
    reward: str
    status: str
    """assessed, contested, annulled, credited"""
    assessed: Where


class Allocation(msgspec.Struct):
    """A lease of resources."""

    allocation: str
    tenant: str
    resource_class: str
    units: str
    data_class: str
    lease_seconds: str
    status: str
    """requested, allocated, active, released, expired, rejected, cancelled"""
    requested: Where | None


class AllocationDetail(msgspec.Struct):
    """A lease with its place, its life and what is bound to it."""

    allocation: Allocation
    offer: str | None
    site: str | None
    lease_end: str | None
    bound_units: list[str] | None
    history: list[Change] | None


class Credential(msgspec.Struct):
    """That somebody said something about somebody, and whether it holds."""

    id: str
    issuer: str
    subject: str
    schema: str
    content_hash: str
    valid_until: str
    """0: without end"""
    status: str
    """valid, expired (at the time of the block), revoked"""
    issued: Where | None


class Custody(msgspec.Struct):
    """A fact in the life of a component."""

    number: str
    fact: str
    actor: str
    subject: str
    detail: str
    recorded: Where


class AuditEvent(msgspec.Struct):
    """An event of a contract of the suite."""

    contract: str
    address: str
    event: str
    arguments: dict[str, Any]
    recorded: Where


class Anchor(msgspec.Struct):
    """An anchor of an off-chain audit log."""

    number: str
    size: str
    root: str
    chain: str
    document_hash: str
    recorded: Where


class AccountTransaction(msgspec.Struct):
    """A transaction that an account had a part in."""

    hash: str
    block_number: int
    tx_index: int
    block_time: int
    sender: str
    recipient: str | None
    created: str | None
    nonce: str
    value: str
    gas_used: int
    gas_price: str
    succeeded: bool
    parts: list[str]
    """sender, recipient, created, internal"""


class Transfer(msgspec.Struct):
    """Value that moved inside a transaction."""

    tx_hash: str
    block_number: int
    tx_index: int
    position: int
    sender: str
    recipient: str
    amount: str
    creates: bool


class TokenBalance(msgspec.Struct):
    """What an account holds of a token; null: not told by the token's events."""

    token: str
    balance: str | None
    block_number: int
    """Of the last change."""


class Creation(msgspec.Struct):
    """How a contract came to be."""

    address: str
    creator: str
    tx_hash: str
    block_number: int
    inside: bool
    """Created by another contract."""
    name: str | None
    """In the suite's address book."""
