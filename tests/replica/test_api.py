"""The query API against a recorded day of a small cloud: typed, as of a block, paged, guarded, documented."""

import json
from http import HTTPStatus

import pytest
from jsonschema import Draft202012Validator

from node.replica.api import Finality, QueryApi
from node.replica.openapi import document
from node.replica.routes import ROUTES
from tests.contracts import test_cloud_day as cloud
from tests.contracts.sandbox import canonical
from tests.replica.chains import a_day_recorded, follow, writer_of
from tests.rpc.world import signed


@pytest.fixture(scope="module")
def day() -> cloud.Day:
    return a_day_recorded()


class Asked:
    """The API over an indexed day, and its answers held against its own document."""

    def __init__(self, database, day: cloud.Day) -> None:
        self.chain = day.chain.record
        self.writer = writer_of(database, self.chain, state_at=day.chain.state_at)
        follow(self.writer)
        self.now = self.chain.head.timestamp + 5.0
        head = self.chain.head.number
        self.api = QueryApi(
            database,
            chain_id=1337,
            finality=Finality(lambda: head - 2, lambda: head - 4),
            unix_time=lambda: self.now,
            timeout_s=60,
            page_items_max=500,
        )
        self.document = json.loads(self.api.answer("/v1/openapi.json").body)

    def __call__(self, target: str, status: int = 200, tag: str | None = None):
        reply = self.api.answer(target, tag)
        assert reply.status == status, reply.body
        if status == HTTPStatus.NOT_MODIFIED:
            return reply
        answer = json.loads(reply.body)
        self._validate(target, str(status), answer)
        return answer

    def headers(self, target: str):
        return self.api.answer(target).headers

    def _validate(self, target: str, status: str, answer) -> None:
        """The answer is what the document says of this path and status."""
        path = target.partition("?")[0]
        template = next((route.path for route in ROUTES if route.pattern.fullmatch(path)), path)
        operation = self.document["paths"].get(template, {}).get("get")
        if operation is None:
            return
        (content,) = operation["responses"][status]["content"].values()
        schema = {**content["schema"], "components": self.document["components"]}
        Draft202012Validator(schema).validate(answer)


@pytest.fixture(scope="module")
def ask(shared_database, day) -> Asked:
    return Asked(shared_database, day)


def test_the_document_is_valid_and_names_every_path():
    made = json.loads(json.dumps(document(500)))
    assert set(made["paths"]) == {route.path for route in ROUTES} | {"/v1/status"}
    operations = [each["get"]["operationId"] for each in made["paths"].values()]
    assert len(set(operations)) == len(operations)
    for each in made["components"]["schemas"].values():
        Draft202012Validator.check_schema(each)
    for path in made["paths"].values():
        assert {"200", "400", "404", "409", "410", "503"} <= path["get"]["responses"].keys()


def test_invoices_of_a_tenant_with_lines_and_life(ask, day):
    clinic = day.who(cloud.CLINIC)
    page = ask(f"/v1/tenants/{clinic}/invoices")
    (invoice,) = page["data"]
    assert (invoice["total"], invoice["status"], invoice["tenant"]) == ("106", "settled", clinic.lower())
    detail = ask(f"/v1/invoices/{invoice['invoice']}")["data"]
    assert [change["state"] for change in detail["history"]] == ["issued", "settled"]
    assert sum(int(line["amount"]) for line in detail["lines"]) == 106
    assert ask("/v1/invoices?status=settled")["data"] == ask("/v1/invoices")["data"]
    assert ask("/v1/invoices?status=voided")["data"] == []


def test_an_invoice_was_open_as_of_the_block_before_it_was_settled(ask):
    detail = ask("/v1/invoices/2")["data"]
    settled = detail["history"][-1]["block_number"]
    before = ask(f"/v1/invoices/2?as_of={settled - 1}")
    assert before["data"]["invoice"]["status"] == "issued"
    assert before["block"]["number"] == settled - 1
    issued = detail["history"][0]["block_number"]
    assert ask(f"/v1/invoices/2?as_of={issued - 1}", 404)["type"] == "not-found"


def test_a_breach_shows_in_the_agreement_and_its_window(ask):
    (agreement,) = ask("/v1/sla/agreements")["data"]
    detail = ask(f"/v1/sla/agreements/{agreement['agreement']}")["data"]
    assert (detail["agreement"]["status"], detail["windows"]) == ("active", {"credited": 1})
    assert (detail["penalties"], detail["rewards"], detail["breaches"]) == ("40", "0", 1)
    (window,) = ask("/v1/sla/agreements/1/windows?status=credited")["data"]
    assert (window["medians"], window["penalty"]) == (["950000"], "40")


def test_a_lease_with_its_place_and_its_units_after_a_resize(ask, day):
    (lease,) = ask(f"/v1/tenants/{day.who(cloud.CLINIC)}/allocations?status=active")["data"]
    assert lease["units"] == "40"
    detail = ask(f"/v1/allocations/{lease['allocation']}")["data"]
    assert detail["site"] == "0x" + cloud.SITE.hex()
    assert len(detail["bound_units"]) == 1
    assert [change["state"] for change in detail["history"]] == ["requested", "allocated", "active"]


def test_the_chain_of_custody_is_in_the_components_own_order(ask, day):
    maker = canonical(day.who(cloud.MAKER))
    births = ask("/v1/audit/events?contract=Provenance&event=Recorded")["data"]
    component = births[0]["arguments"]["component"]
    facts = ask(f"/v1/components/{component}/custody")["data"]
    assert [fact["number"] for fact in facts] == [str(place) for place in range(len(facts))]
    assert [fact["fact"] for fact in facts][:3] == ["born", "transfer offered", "transfer accepted"]
    assert facts[0]["actor"] == "0x" + maker.hex()


def test_a_credential_is_valid_then_expired_by_the_time_of_the_block_or_revoked(database):
    day = a_day_recorded()
    issuer, subject = day.who(70), day.who(71)
    until = day.chain.now + 100
    day.act(70, "Credentials", "issue", subject, cloud.PAPER, cloud.CARD, until)
    day.act(70, "Credentials", "issue", subject, cloud.PAPER, cloud.SITE, 0)
    ask = Asked(database, day)
    first, second = ask(f"/v1/subjects/{subject}/credentials")["data"]
    assert (first["status"], second["status"], first["issuer"]) == ("valid", "valid", issuer.lower())
    day.chain.warp(200)
    day.act(70, "Credentials", "revoke", bytes.fromhex(second["id"][2:]), cloud.PAPER)
    day.chain.transact(day.who(1), b"")
    follow(ask.writer)
    assert [each["status"] for each in ask(f"/v1/subjects/{subject}/credentials")["data"]] == [
        "expired",
        "revoked",
    ]
    assert ask(f"/v1/credentials/{second['id']}")["data"]["status"] == "revoked"


def test_the_audit_trail_of_an_account_is_every_event_that_names_it_or_that_it_caused(ask, day):
    bank = day.who(cloud.BANK).lower()
    trail = ask(f"/v1/accounts/{bank}/audit?limit=500")["data"]
    assert {"InvoiceIssued", "UsageContested", "Deposited", "Transfer"} <= {each["event"] for each in trail}
    log = ask("/v1/audit/logs/" + "0x" + cloud.keccak256(b"log").hex() + "/anchors")["data"]
    assert [anchor["size"] for anchor in log] == ["50"]


def test_accounts_have_transactions_tokens_and_contracts_a_creator(ask, day):
    bank = day.who(cloud.BANK).lower()
    (token,) = ask(f"/v1/accounts/{bank}/tokens")["data"]
    address = day.suite["SettlementToken"].address
    assert (token["token"], int(token["balance"])) == (
        address.lower(),
        day.suite["SettlementToken"].call.balanceOf(day.who(cloud.BANK)),
    )
    made = ask(f"/v1/contracts/{address}")["data"]
    assert (made["creator"], made["name"]) == (day.who(0).lower(), "SettlementToken")
    sent = ask(f"/v1/accounts/{bank}/transactions")["data"]
    assert sent[0]["block_number"] > sent[-1]["block_number"]
    assert all(each["parts"] == ["sender"] for each in sent)
    assert ask(f"/v1/accounts/{bank}/transfers")["data"] == []


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/audit/events?contract=Metering",
        "/v1/accounts/{bank}/audit?finality=latest",
        "/v1/accounts/{bank}/transactions?finality=latest",
    ],
)
def test_pages_together_are_the_whole_list_as_of_one_block(ask, day, path, limit):
    path = path.format(bank=day.who(cloud.BANK))
    whole = ask(f"{path}&limit=500")
    seen, cursor, block = [], "", None
    while True:
        page = ask(f"{path}&limit={limit}{cursor}")
        seen += page["data"]
        assert block is None or page["block"] == block
        block = page["block"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == whole["data"]


def test_a_cursor_is_good_until_the_chain_turns_below_it(database):
    ask = Asked(database, a_day_recorded())
    cursor = ask("/v1/audit/events?limit=1")["next_cursor"]
    head = ask.chain.head
    ask.chain.extend([signed(1)])
    follow(ask.writer)
    page = ask(f"/v1/audit/events?limit=1&cursor={cursor}")
    assert page["block"]["number"] == head.number
    ask.chain.adopt([ask.chain.make(ask.chain.header_by_number(head.number - 1), [signed(2)])], 2)
    follow(ask.writer)
    assert ask(f"/v1/audit/events?limit=1&cursor={cursor}", 410)["type"] == "stale-cursor"


def test_guards_refuse_what_is_stale_not_reached_or_not_final(ask):
    head = ask.chain.head.number
    assert ask("/v1/status?max_staleness_s=10")["staleness_s"] == 5.0
    refused = ask("/v1/invoices?max_staleness_s=4.5", 503)
    assert refused["type"] == "stale"
    assert ask(f"/v1/invoices?as_of={head + 1}", 409)["type"] == "block-not-reached"
    assert ask(f"/v1/invoices?as_of={head - 1}&finality=safe", 409)["type"] == "block-not-reached"
    assert ask("/v1/invoices?finality=safe")["block"]["number"] == head - 2
    assert ask("/v1/invoices?finality=final")["block"]["number"] == head - 4
    status = ask("/v1/status")["data"]
    assert (status["safe"], status["final"], status["indexed"]["number"]) == (head - 2, head - 4, head)


def test_an_answer_is_cached_by_the_hash_of_its_block(ask):
    head = ask.chain.head
    headers = ask.headers("/v1/invoices")
    assert headers["etag"] == f'W/"0x{head.hash.hex()}"'
    assert headers["cache-control"] == "no-cache"
    assert headers["x-block-hash"] == "0x" + head.hash.hex()
    assert (headers["x-block-number"], headers["x-staleness-s"]) == (str(head.number), "5.000")
    assert ask("/v1/invoices", 304, tag=f'"x", {headers["etag"]}').body == b""
    assert ask("/v1/invoices", 200, tag='W/"0x00"')["data"]
    assert "immutable" in ask.headers(f"/v1/invoices?as_of={head.number - 10}")["cache-control"]


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/v1/nothing", 404, "no path"),
        ("/v1/invoices/x", 400, "invoice is 'x'"),
        ("/v1/tenants/0x12/invoices", 400, "tenant is '0x12'"),
        ("/v1/invoices?limit=0", 400, "1 to 500"),
        ("/v1/invoices?limit=501", 400, "1 to 500"),
        ("/v1/invoices?limit=1&limit=2", 400, "given twice"),
        ("/v1/invoices?colour=red", 400, "'colour' is no parameter here"),
        ("/v1/invoices?cursor=AAAA", 400, "none of ours"),
        ("/v1/invoices?cursor=WzEsMiwzLDRd", 400, "none of ours"),
        ("/v1/invoices?as_of=-1", 400, "as_of"),
        ("/v1/invoices?finality=soon", 400, "finality is 'soon'"),
        ("/v1/invoices?max_staleness_s=nan", 400, "max_staleness_s"),
        ("/v1/invoices?%%%", 400, "cannot be read"),
        ("/v1/invoices/" + "9" * 78, 400, "256 bits"),
        ("/v1/invoices/999", 404, "nothing of this id"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(ask, target, status, words):
    assert words in ask(target, status)["detail"]
