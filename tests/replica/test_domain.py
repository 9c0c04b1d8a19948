"""The suite's events as tables: names from the chain, values exact, and none of it from strangers."""

import json

import pytest

from contracts.suite import NODE_INGRESS
from node.primitives.ids import Address, hex_of
from node.primitives.receipt import Log
from node.replica.registry import NAMED, doors, is_address_book
from tests.contracts import test_cloud_day as cloud
from tests.contracts.sandbox import canonical
from tests.replica.chains import a_day_recorded, dump, follow, writer_of
from tests.rpc.world import signed


@pytest.fixture(scope="module")
def day() -> cloud.Day:
    return a_day_recorded()


def indexed(database, day: cloud.Day):
    chain = day.chain
    codes = {canonical(NODE_INGRESS): chain.code_at(NODE_INGRESS)}
    writer = writer_of(database, chain.record, state_at=chain.state_at, known=doors(codes))
    follow(writer)
    return writer


def test_the_address_book_is_found_by_the_doors_of_genesis_and_names_everything(database, day):
    indexed(database, day)
    found = {name: address for _, name, address in dump(database)["contract_names"]}
    report = day.suite.report.addresses
    wanted = {name: address.lower() for name, address in report.items() if name in found}
    assert found == wanted
    assert {"Billing", "Sla", "ContractNames", "AccessManager", "SettlementToken"} <= found.keys()


def test_every_event_of_the_suite_stands_typed_in_a_table_of_its_own(database, day):
    indexed(database, day)
    rows = dump(database)
    ours = {address for _, _, address in rows["contract_names"]} | {NODE_INGRESS.lower()}
    logs = [row for row in rows["logs"] if hex_of(row[3]) in ours]
    assert len(rows["domain_events"]) == len(logs)
    by_table: dict[str, int] = {}
    for event in rows["domain_events"]:
        by_table[event[8]] = by_table.get(event[8], 0) + 1
    assert by_table == {name: len(rows[name]) for name in by_table}
    (paid,) = [row for row in rows["billing_invoice_issued"] if row[5] == 1]
    assert paid[7:11] == (day.who(cloud.CLINIC).lower(), *paid[8:10], 106)


def test_events_from_before_a_contract_was_named_belong_to_the_index(database, day):
    indexed(database, day)
    rows = dump(database)
    named = {address: number for number, _, address in rows["contract_names"]}
    assert any(event[0] < named[event[5]] for event in rows["domain_events"] if event[5] in named)


def test_arguments_are_json_that_keeps_every_digit(database, day):
    indexed(database, day)
    (event,) = [
        row for row in dump(database)["domain_events"] if row[7] == "InvoiceIssued" and '"1"' in row[9]
    ][:1]
    arguments = json.loads(event[9])
    assert (arguments["invoice"], arguments["total"]) == ("1", "106")
    assert arguments["tenant"] == day.who(cloud.CLINIC).lower()


def test_token_balances_are_what_the_token_says(database, day):
    indexed(database, day)
    token = day.suite["SettlementToken"]
    newest: dict[bytes, tuple[int, int]] = {}
    for address, holder, number, balance in dump(database)["token_balances"]:
        if address == canonical(token.address):
            newest[holder] = max(newest.get(holder, (-1, 0)), (number, balance))
    assert newest
    for holder, (_, balance) in newest.items():
        assert token.call.balanceOf(hex_of(holder)) == balance


def test_a_reorganisation_takes_back_names_and_all_that_was_said_under_them(database, day):
    """Cut before the address book was established: its contracts are strangers again; then all comes back."""
    chain = day.chain.record
    writer = indexed(database, day)
    before = dump(database)
    established = min(number for number, *_ in before["contract_names"])
    removed = chain.head.number - established + 1
    kept = [chain.blocks[block_hash] for block_hash in chain.canonical[established:]]
    chain.adopt([chain.make(chain.header_by_number(established - 1), [signed(0)])], removed)
    try:
        follow(writer)
        turned = dump(database)
        assert "contract_names" not in turned
        assert "entity_states" not in turned
        assert {event[6] for event in turned.get("domain_events", [])} <= {"NodeIngress"}
    finally:
        chain.adopt(kept, 1)
    follow(writer)
    assert dump(database) == before


def test_an_address_book_of_a_stranger_is_not_believed(database, day):
    world = day.chain.world
    ours = canonical(day.suite["ContractNames"].address)
    assert is_address_book(world, ours)
    for name in ("Board", "AccessManager", "SettlementToken"):
        assert not is_address_book(world, canonical(day.suite[name].address))
    # The same code under an authority of its own.
    fake = day.chain.proxy("ContractNames", day.who(99))
    assert not is_address_book(world, canonical(fake.address))
    indexed(database, day)
    assert fake.address.lower() not in {address for _, _, address in dump(database)["contract_names"]}


def test_a_log_that_does_not_fit_its_abi_stays_a_plain_log(database, day):
    chain = day.chain.record
    book = canonical(day.suite["ContractNames"].address)
    odd = Log(book, (NAMED,), b"\xff" * 7)
    chain.extend([signed(5)], [odd, Log(Address(b"\1" * 20), (), b"")])
    try:
        indexed(database, day)
        rows = dump(database)
        assert [row[3] for row in rows["logs"] if row[0] == chain.head.number] == [book, b"\1" * 20]
        assert not [row for row in rows["domain_events"] if row[0] == chain.head.number]
    finally:
        chain.adopt([chain.make(chain.header_by_number(chain.head.number - 1))], 1)
