"""Provenance: who made it, who holds it, what it is part of; a history that cannot be shortened."""

from itertools import pairwise
from typing import Any

import pytest
from eth_abi import abi as codec
from hypothesis import given, settings
from hypothesis import strategies as st

from node.primitives.crypto import keccak256
from tests.contracts.fakes import authority, signing_domain
from tests.contracts.sandbox import Contract, Done, Sandbox
from tests.contracts.trees import log_tree

MODEL, PAPER, SALT = keccak256(b"model X"), keccak256(b"waybill 1"), keccak256(b"salt")
BORN, OFFERED, ACCEPTED, CANCELLED, ASSEMBLED = range(5)
DISASSEMBLED, INSPECTED, FIRMWARE, RECALLED, CLEARED, SCANNED, ENDED = range(5, 12)
MAKER, CARRIER, SITE, STRANGER = 1, 2, 3, 4


def birth(number: int) -> dict[str, bytes]:
    commitment = keccak256(b"SN%d" % number + SALT)
    return {
        "serialCommitment": commitment,
        "model": MODEL,
        "certificate": keccak256(b"certificate %d" % number),
    }


def identity(provenance: Contract, number: int) -> bytes:
    maker = bytes(12) + bytes.fromhex(provenance.chain.account(MAKER)[2:])
    return keccak256(maker + birth(number)["serialCommitment"])


@pytest.fixture(scope="module")
def deployed() -> tuple[Contract, Any]:
    chain = Sandbox()
    provenance = chain.proxy("Provenance", authority(chain).address)
    provenance.send.approveManufacturer(chain.account(MAKER), keccak256(b"name"))
    provenance.send.bear([birth(number) for number in range(12)], sender=chain.account(MAKER))
    return provenance, chain.snapshot()


@pytest.fixture
def provenance(deployed: tuple[Contract, Any]) -> Contract:
    provenance, snapshot = deployed
    provenance.chain.restore(snapshot)
    return provenance


def act(provenance: Contract, who: int, function: str, *arguments: Any) -> Done:
    return provenance.send[function](*arguments, sender=provenance.chain.account(who))


def hand_over(provenance: Contract, parts: list[bytes], giver: int, taker: int) -> None:
    act(provenance, giver, "offerTransfer", parts, provenance.chain.account(taker), PAPER)
    act(provenance, taker, "acceptTransfer", parts, PAPER)


def test_births_are_recorded_with_their_maker_as_custodian(provenance: Contract) -> None:
    part = provenance.call.component(identity(provenance, 0))
    maker = provenance.chain.account(MAKER)
    assert (part["manufacturer"], part["custodian"], part["model"], part["facts"]) == (maker, maker, MODEL, 1)
    assert provenance.call.componentId(maker, birth(0)["serialCommitment"]) == identity(provenance, 0)


def test_births_that_are_refused(provenance: Contract) -> None:
    chain = provenance.chain
    with chain.refusing("ProvenanceAlreadyBorn", component=identity(provenance, 0)):
        act(provenance, MAKER, "bear", [birth(0)])
    with chain.refusing("ProvenanceUnknownManufacturer", manufacturer=chain.account(STRANGER)):
        act(provenance, STRANGER, "bear", [birth(50)])
    with chain.refusing("ProvenanceEmptyBatch"):
        act(provenance, MAKER, "bear", [])
    with chain.refusing("AccessManagedUnauthorized"):
        act(provenance, STRANGER, "approveManufacturer", chain.account(STRANGER), PAPER)
    with chain.refusing("ProvenanceManufacturerExists"):
        provenance.send.approveManufacturer(chain.account(MAKER), PAPER)
    with chain.refusing("ProvenanceUnknownManufacturer"):
        provenance.send.approveManufacturer("0x" + "00" * 20, PAPER)
    provenance.send.withdrawManufacturer(chain.account(MAKER))
    assert not provenance.call.isManufacturer(chain.account(MAKER))
    with chain.refusing("ProvenanceUnknownManufacturer"):
        act(provenance, MAKER, "bear", [birth(50)])
    with chain.refusing("ProvenanceUnknownManufacturer"):
        provenance.send.withdrawManufacturer(chain.account(MAKER))


def test_a_birth_certificate_is_taken_by_signature(provenance: Contract) -> None:
    chain = provenance.chain
    domain = signing_domain("PhoenixProvenance", provenance)
    types = {"Birth": [{"name": name, "type": "bytes32"} for name in birth(0)]}
    signature = bytes(chain.key(MAKER).sign_typed_data(domain, types, birth(50)).signature)
    with chain.refusing("ProvenanceBadSignature"):
        act(provenance, STRANGER, "bearFor", chain.account(MAKER), birth(51), signature)
    with chain.refusing("ProvenanceUnknownManufacturer"):
        act(provenance, STRANGER, "bearFor", chain.account(STRANGER), birth(50), signature)
    act(provenance, STRANGER, "bearFor", chain.account(MAKER), birth(50), signature)
    assert provenance.call.custodianOf(identity(provenance, 50)) == chain.account(MAKER)


def test_a_lot_of_births_is_one_root(provenance: Contract) -> None:
    chain = provenance.chain
    births = [birth(number) for number in range(100, 113)]
    tree = log_tree([keccak256(b"".join(each.values())) for each in births])
    act(provenance, MAKER, "registerLot", tree.root(), len(births), PAPER)
    maker = chain.account(MAKER)
    act(provenance, STRANGER, "bearFromLot", maker, tree.root(), births[12], 12, tree.path(12))
    assert provenance.call.custodianOf(identity(provenance, 112)) == maker
    with chain.refusing("ProvenanceNotInLot", index=3):
        act(provenance, STRANGER, "bearFromLot", maker, tree.root(), birth(999), 3, tree.path(3))
    with chain.refusing("ProvenanceUnknownLot"):
        act(provenance, STRANGER, "bearFromLot", maker, PAPER, births[0], 0, tree.path(0))
    with chain.refusing("ProvenanceAlreadyBorn"):
        act(provenance, STRANGER, "bearFromLot", maker, tree.root(), births[12], 12, tree.path(12))
    with chain.refusing("ProvenanceLotExists"):
        act(provenance, MAKER, "registerLot", tree.root(), 1, PAPER)
    with chain.refusing("ProvenanceEmptyBatch"):
        act(provenance, MAKER, "registerLot", PAPER, 0, PAPER)


@settings(max_examples=25)
@given(size=st.integers(1, 40), data=st.data())
def test_no_birth_is_forged_into_a_lot(
    deployed: tuple[Contract, Any], size: int, data: st.DataObject
) -> None:
    provenance, snapshot = deployed
    chain = provenance.chain
    chain.restore(snapshot)
    births = [birth(number) for number in range(1_000, 1_000 + size)]
    tree = log_tree([keccak256(b"".join(each.values())) for each in births])
    act(provenance, MAKER, "registerLot", tree.root(), size, PAPER)
    place = data.draw(st.integers(0, size - 1))
    told, index, path = dict(births[place]), place, list(tree.path(place))
    kind = data.draw(st.sampled_from(["serialCommitment", "model", "certificate", "index", "path", "shape"]))
    if kind in told:
        told[kind] = keccak256(b"forged" + told[kind])
    elif kind == "index":
        index = data.draw(st.integers(0, 2**256 - 1).filter(lambda other: other != place))
    elif kind == "path" and path:
        hurt = data.draw(st.integers(0, len(path) - 1))
        path[hurt] = data.draw(st.binary(min_size=32, max_size=32).filter(lambda other: other != path[hurt]))
    else:
        path = (
            [*path, data.draw(st.binary(min_size=32, max_size=32))]
            if not path or data.draw(st.booleans())
            else path[:-1]
        )
    with chain.refusing("ProvenanceNotInLot", index=index):
        act(provenance, STRANGER, "bearFromLot", chain.account(MAKER), tree.root(), told, index, path)
    act(provenance, STRANGER, "bearFromLot", chain.account(MAKER), tree.root(), births[place], place,
        tree.path(place))  # fmt: skip


def test_custody_changes_only_when_both_sides_say_so(provenance: Contract) -> None:
    chain, part = provenance.chain, identity(provenance, 0)
    with chain.refusing("ProvenanceNotCustodian", caller=chain.account(CARRIER)):
        act(provenance, CARRIER, "offerTransfer", [part], chain.account(SITE), PAPER)
    act(provenance, MAKER, "offerTransfer", [part], chain.account(CARRIER), PAPER)
    assert provenance.call.custodianOf(part) == chain.account(MAKER)
    with chain.refusing("ProvenanceNotOffered", caller=chain.account(STRANGER)):
        act(provenance, STRANGER, "acceptTransfer", [part], PAPER)
    with chain.refusing("ProvenanceAlreadyOffered", offeredTo=chain.account(CARRIER)):
        act(provenance, MAKER, "offerTransfer", [part], chain.account(SITE), PAPER)
    act(provenance, CARRIER, "acceptTransfer", [part], PAPER)
    assert provenance.call.custodianOf(part) == chain.account(CARRIER)
    for bad in (chain.account(CARRIER), "0x" + "00" * 20):
        with chain.refusing("ProvenanceBadRecipient", recipient=bad):
            act(provenance, CARRIER, "offerTransfer", [part], bad, PAPER)


@pytest.mark.parametrize("who", [MAKER, CARRIER])
def test_an_offer_is_taken_back_or_refused(provenance: Contract, who: int) -> None:
    chain, part = provenance.chain, identity(provenance, 0)
    with chain.refusing("ProvenanceNotOffered"):
        act(provenance, MAKER, "cancelTransfer", [part], PAPER)
    act(provenance, MAKER, "offerTransfer", [part], chain.account(CARRIER), PAPER)
    with chain.refusing("ProvenanceNotOffered"):
        act(provenance, STRANGER, "cancelTransfer", [part], PAPER)
    act(provenance, who, "cancelTransfer", [part], PAPER)
    with chain.refusing("ProvenanceNotOffered"):
        act(provenance, CARRIER, "acceptTransfer", [part], PAPER)


def test_parts_travel_with_the_whole(provenance: Contract) -> None:
    chain = provenance.chain
    rack, server, disk = (identity(provenance, number) for number in range(3))
    act(provenance, MAKER, "assemble", server, [disk])
    act(provenance, MAKER, "assemble", rack, [server])
    hand_over(provenance, [rack], MAKER, SITE)
    assert {provenance.call.custodianOf(each) for each in (rack, server, disk)} == {chain.account(SITE)}
    with chain.refusing("ProvenanceAssembled", parent=server):
        act(provenance, SITE, "offerTransfer", [disk], chain.account(CARRIER), PAPER)
    with chain.refusing("ProvenanceNotCustodian"):
        act(provenance, MAKER, "disassemble", server, [disk])
    with chain.refusing("ProvenanceNotAssembled", parent=rack):
        act(provenance, SITE, "disassemble", rack, [disk])
    act(provenance, SITE, "disassemble", server, [disk])
    assert provenance.call.component(disk)["custodian"] == chain.account(SITE)
    assert provenance.call.component(server)["children"] == 0


def test_nothing_contains_itself_or_nests_too_deep(provenance: Contract) -> None:
    chain = provenance.chain
    parts = [identity(provenance, number) for number in range(10)]
    with chain.refusing("ProvenanceCycle"):
        act(provenance, MAKER, "assemble", parts[0], [parts[0]])
    # Outermost last: each new whole takes the old one in, so the depth grows from below.
    act(provenance, MAKER, "assemble", parts[1], [parts[0]])
    with chain.refusing("ProvenanceCycle"):
        act(provenance, MAKER, "assemble", parts[0], [parts[1]])
    for inner, outer in pairwise(parts[1:8]):
        act(provenance, MAKER, "assemble", outer, [inner])
    with chain.refusing("ProvenanceTooDeep"):
        act(provenance, MAKER, "assemble", parts[8], [parts[7]])
    with chain.refusing("ProvenanceTooDeep"):
        act(provenance, MAKER, "assemble", parts[0], [parts[8]])


def test_an_offered_whole_is_not_changed(provenance: Contract) -> None:
    chain, rack, disk = provenance.chain, identity(provenance, 0), identity(provenance, 1)
    act(provenance, MAKER, "offerTransfer", [rack], chain.account(SITE), PAPER)
    for parent, part in ((rack, disk), (disk, rack)):
        with chain.refusing("ProvenanceAlreadyOffered"):
            act(provenance, MAKER, "assemble", parent, [part])
    with chain.refusing("ProvenanceAlreadyOffered"):
        act(provenance, MAKER, "decommission", rack, PAPER)


def test_a_recall_reaches_what_is_inside(provenance: Contract) -> None:
    chain, rack, disk = provenance.chain, identity(provenance, 0), identity(provenance, 1)
    act(provenance, MAKER, "assemble", rack, [disk])
    with chain.refusing("ProvenanceNotManufacturer"):
        act(provenance, STRANGER, "recall", rack, PAPER)
    with chain.refusing("ProvenanceNotRecalled"):
        act(provenance, MAKER, "clearRecall", rack, PAPER)
    act(provenance, MAKER, "recall", rack, PAPER)
    assert provenance.call.isRecalled(disk)
    with chain.refusing("ProvenanceAlreadyRecalled"):
        act(provenance, MAKER, "recall", rack, PAPER)
    act(provenance, MAKER, "clearRecall", rack, PAPER)
    assert not provenance.call.isRecalled(disk)
    act(provenance, MAKER, "recallModel", MODEL, PAPER)
    assert provenance.call.isRecalled(identity(provenance, 7))
    with chain.refusing("ProvenanceAlreadyRecalled"):
        act(provenance, MAKER, "recallModel", MODEL, PAPER)
    act(provenance, MAKER, "clearModelRecall", MODEL, PAPER)
    with chain.refusing("ProvenanceNotRecalled"):
        act(provenance, MAKER, "clearModelRecall", MODEL, PAPER)
    assert not provenance.call.isRecalled(identity(provenance, 7))


def test_a_serial_number_opens_its_commitment_only(provenance: Contract) -> None:
    part = identity(provenance, 3)
    assert provenance.call.isAuthentic(part, b"SN3", SALT)
    assert not provenance.call.isAuthentic(part, b"SN4", SALT)
    assert not provenance.call.isAuthentic(keccak256(b"nothing"), b"SN3", SALT)


def test_the_dead_do_nothing(provenance: Contract) -> None:
    chain, part, other = provenance.chain, identity(provenance, 0), identity(provenance, 1)
    act(provenance, MAKER, "assemble", part, [other])
    with chain.refusing("ProvenanceHasChildren", children=1):
        act(provenance, MAKER, "decommission", part, PAPER)
    with chain.refusing("ProvenanceAssembled"):
        act(provenance, MAKER, "decommission", other, PAPER)
    act(provenance, MAKER, "disassemble", part, [other])
    act(provenance, MAKER, "decommission", part, PAPER)
    with chain.refusing("ProvenanceDecommissioned", component=part):
        act(provenance, MAKER, "offerTransfer", [part], chain.account(SITE), PAPER)
    with chain.refusing("ProvenanceUnknownComponent"):
        provenance.send.scan([PAPER], SALT)


def test_the_history_is_one_query_and_provably_whole(provenance: Contract) -> None:
    chain, part, disk = provenance.chain, identity(provenance, 20), identity(provenance, 1)
    done = [act(provenance, MAKER, "bear", [birth(20)]), act(provenance, MAKER, "assemble", part, [disk])]
    done.append(act(provenance, MAKER, "offerTransfer", [part], chain.account(SITE), PAPER))
    done.append(act(provenance, SITE, "acceptTransfer", [part], PAPER))
    done.append(provenance.send.inspect(part, True, PAPER))
    done.append(act(provenance, SITE, "attestFirmware", part, SALT, PAPER))
    done.append(provenance.send.scan([part, disk], SALT))
    done.append(act(provenance, MAKER, "recall", part, PAPER))
    history = [fact for each in done for fact in each.named("Recorded") if fact["component"] == part]
    facts = [BORN, ASSEMBLED, OFFERED, ACCEPTED, INSPECTED, FIRMWARE, SCANNED, RECALLED]
    assert [(fact["number"], fact["fact"]) for fact in history] == list(enumerate(facts))
    head = bytes(32)
    for fact in history:
        kinds = ["bytes32", "uint256", "uint8", "address", "bytes32", "bytes32"]
        values = [head, *(fact[name] for name in ("number", "fact", "actor", "subject", "detail"))]
        head = keccak256(codec.encode(kinds, values))
    assert provenance.call.component(part)["head"] == head


def test_scans_by_root(provenance: Contract) -> None:
    chain = provenance.chain
    entries = [keccak256(b"scan %d" % number) for number in range(1000)]
    tree = log_tree(entries)
    done = provenance.send.anchorScans(SALT, tree.root(), 1000, PAPER)
    assert done.output == 1
    assert provenance.call.verifyScan(1, entries[777], 777, tree.path(777))
    assert not provenance.call.verifyScan(1, entries[776], 777, tree.path(777))
    assert not provenance.call.verifyScan(2, entries[777], 777, tree.path(777))
    with chain.refusing("ProvenanceEmptyBatch"):
        provenance.send.anchorScans(SALT, PAPER, 0, PAPER)
    with chain.refusing("ProvenanceEmptyBatch"):
        provenance.send.scan([], SALT)
    for function, arguments in (("scan", ([PAPER], SALT)), ("anchorScans", (SALT, PAPER, 1, PAPER)),
                                ("inspect", (PAPER, True, PAPER))):  # fmt: skip
        with chain.refusing("AccessManagedUnauthorized"):
            act(provenance, STRANGER, function, *arguments)
