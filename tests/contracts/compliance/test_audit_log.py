"""Audit logs: nothing anchored can be altered or left out, and proofs cannot be forged."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.primitives.crypto import keccak256
from tests.contracts.fakes import authority
from tests.contracts.sandbox import Contract, Sandbox
from tests.contracts.trees import log_tree

LOG = keccak256(b"log of site 7")
DOCUMENT = keccak256(b"manifest")


def entries(count: int, salt: bytes = b"") -> list[bytes]:
    return [keccak256(b"entry %d" % place + salt) for place in range(count)]


@pytest.fixture(scope="module")
def deployed() -> tuple[Sandbox, Contract]:
    chain = Sandbox()
    log = chain.proxy("AuditLog", authority(chain).address)
    log.send.openLog(LOG, chain.account(1))
    return chain, log


@pytest.fixture
def log(deployed: tuple[Sandbox, Contract]) -> Contract:
    chain, log = deployed
    chain.restore(_fresh.setdefault(chain, chain.snapshot()))
    return log


_fresh: dict[Sandbox, object] = {}


def anchor(log: Contract, all_entries: list[bytes], before: int, size: int) -> None:
    tree = log_tree(all_entries[:size])
    log.send.anchor(LOG, size, tree.root(), DOCUMENT, tree.consistency(before), sender=log.chain.account(1))


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5, unique=True).map(sorted), data=st.data())
def test_a_log_that_grows_is_anchored_and_each_entry_is_proved(
    deployed: tuple[Sandbox, Contract], sizes: list[int], data: st.DataObject
) -> None:
    chain, log = deployed
    chain.restore(_fresh.setdefault(chain, chain.snapshot()))
    all_entries = entries(sizes[-1])
    for before, size in zip([0, *sizes], sizes, strict=False):
        anchor(log, all_entries, before, size)
    number = data.draw(st.integers(0, len(sizes) - 1))
    tree = log_tree(all_entries[: sizes[number]])
    index = data.draw(st.integers(0, sizes[number] - 1))
    path = tree.path(index)
    assert log.call.verifyEntry(LOG, number, all_entries[index], index, path)
    # Another entry, another place, a shorter, longer or altered path: none of them proves anything.
    assert not log.call.verifyEntry(LOG, number, keccak256(b"forged"), index, path)
    assert not log.call.verifyEntry(LOG, number, all_entries[index], index ^ 1, path)
    assert not log.call.verifyEntry(LOG, number, all_entries[index], index, [*path, bytes(32)])
    if path:
        assert not log.call.verifyEntry(LOG, number, all_entries[index], index, path[:-1])
        assert not log.call.verifyEntry(LOG, number, all_entries[index], index, [path[0][::-1], *path[1:]])
    early = log_tree(all_entries[: sizes[0]])
    whole = log_tree(all_entries)
    last = len(sizes) - 1
    assert log.call.verifyPrefix(LOG, last, sizes[0], early.root(), whole.consistency(sizes[0]))
    assert not log.call.verifyPrefix(LOG, last, sizes[0], keccak256(b"other"), whole.consistency(sizes[0]))


@settings(max_examples=25)
@given(before=st.integers(1, 40), more=st.integers(1, 40), place=st.integers(0, 39))
def test_an_altered_past_is_never_anchored(
    deployed: tuple[Sandbox, Contract], before: int, more: int, place: int
) -> None:
    chain, log = deployed
    chain.restore(_fresh.setdefault(chain, chain.snapshot()))
    honest = entries(before + more)
    anchor(log, honest, 0, before)
    altered = list(honest)
    altered[place % before] = keccak256(b"never happened")
    with chain.refusing("AuditLogInconsistent", oldSize=before, newSize=before + more):
        anchor(log, altered, before, before + more)


def test_a_node_cannot_be_shown_as_an_entry(log: Contract) -> None:
    all_entries = entries(4)
    anchor(log, all_entries, 0, 4)
    tree = log_tree(all_entries)
    left, right = tree.root(0, 2), tree.root(2, 4)
    assert not log.call.verifyEntry(LOG, 0, left, 0, [right])


def test_anchors_are_chained(log: Contract) -> None:
    all_entries = entries(5)
    anchor(log, all_entries, 0, 2)
    anchor(log, all_entries, 2, 5)
    assert log.call.anchorCount(LOG) == 2
    first, second = log.call.anchorAt(LOG, 0), log.call.anchorAt(LOG, 1)
    link = first["chain"] + log_tree(all_entries).root() + (5).to_bytes(32, "big") + DOCUMENT
    assert (second["size"], second["chain"]) == (5, keccak256(link))


def test_refusals(log: Contract) -> None:
    chain, writer = log.chain, log.chain.account(1)
    with chain.refusing("AuditLogAlreadyOpen", log=LOG):
        log.send.openLog(LOG, writer)
    with chain.refusing("AuditLogZeroWriter"):
        log.send.openLog(bytes(32), "0x" + "00" * 20)
    with chain.refusing("AuditLogZeroWriter"):
        log.send.changeWriter(LOG, "0x" + "00" * 20)
    with chain.refusing("AuditLogUnknown"):
        log.send.changeWriter(bytes(32), writer)
    with chain.refusing("AccessManagedUnauthorized", caller=writer):
        log.send.openLog(bytes(32), writer, sender=writer)
    with chain.refusing("AuditLogNotWriter", caller=chain.account(2)):
        log.send.anchor(LOG, 1, bytes(32), DOCUMENT, [], sender=chain.account(2))
    with chain.refusing("AuditLogNotGrown", oldSize=0, newSize=0):
        log.send.anchor(LOG, 0, bytes(32), DOCUMENT, [], sender=writer)
    with chain.refusing("AuditLogUnknownAnchor", number=0):
        log.call.anchorAt(LOG, 0)
    anchor(log, entries(3), 0, 3)
    assert not log.call.verifyPrefix(LOG, 0, 0, bytes(32), [])


def test_a_new_writer_takes_over(log: Contract) -> None:
    chain = log.chain
    event = log.send.changeWriter(LOG, chain.account(2)).only("WriterChanged")
    assert event == {"log": LOG, "previous": chain.account(1), "writer": chain.account(2)}
    assert log.call.writerOf(LOG) == chain.account(2)
    with chain.refusing("AuditLogNotWriter"):
        anchor(log, entries(1), 0, 1)


def test_a_batch_of_a_thousand_entries_costs_one_anchor(log: Contract) -> None:
    all_entries = entries(2000)
    anchor(log, all_entries, 0, 1000)
    tree = log_tree(all_entries)
    done = log.send.anchor(
        LOG, 2000, tree.root(), DOCUMENT, tree.consistency(1000), sender=log.chain.account(1)
    )
    assert done.gas_used < 150_000, done.gas_used
