"""ERC-1056: owners, delegates, attributes and signed messages, as resolvers of did:ethr expect them."""

import pytest
from eth_abi.packed import encode_packed
from eth_account import Account

from node.primitives.crypto import keccak256
from tests.contracts.sandbox import Contract, Sandbox, canonical

VERI, NAME = b"veriKey".ljust(32, b"\0"), b"did/pub/Secp256k1/veriKey/hex".ljust(32, b"\0")
WEEK = 7 * 86_400


@pytest.fixture
def did() -> Contract:
    return Sandbox().deploy("EthereumDIDRegistry")


def signed(
    did: Contract, signer: int, identity: str, kinds: list[str], values: list[object]
) -> tuple[object, ...]:
    """(v, r, s) over ERC-191 data of the registry, with the owner's nonce."""
    owner = did.call.identityOwner(identity)
    head = (
        b"\x19\x00" + canonical(did.address) + did.call.nonce(owner).to_bytes(32, "big") + canonical(identity)
    )
    digest = keccak256(head + encode_packed(kinds, values))
    found = Account.unsafe_sign_hash(digest, did.chain.key(signer).key)
    return found.v, found.r.to_bytes(32, "big"), found.s.to_bytes(32, "big")


def test_everybody_owns_themselves_until_they_say_otherwise(did: Contract) -> None:
    alice, bob = did.chain.account(1), did.chain.account(2)
    assert did.call.identityOwner(alice) == alice
    with did.chain.refusing("Error", reason="bad_actor"):
        did.send.changeOwner(alice, bob, sender=bob)
    first = did.chain.number
    done = did.send.changeOwner(alice, bob, sender=alice)
    assert done.only("DIDOwnerChanged") == {"identity": alice, "owner": bob, "previousChange": 0}
    assert (did.call.identityOwner(alice), did.call.owners(alice), did.call.changed(alice)) == (
        bob,
        bob,
        first,
    )
    with did.chain.refusing("Error", reason="bad_actor"):
        did.send.changeOwner(alice, alice, sender=alice)
    done = did.send.changeOwner(alice, alice, sender=bob)
    assert done.only("DIDOwnerChanged")["previousChange"] == first


def test_a_delegate_is_valid_for_its_kind_and_time(did: Contract) -> None:
    alice, bob = did.chain.account(1), did.chain.account(2)
    now = did.chain.now
    done = did.send.addDelegate(alice, VERI, bob, WEEK, sender=alice)
    assert done.only("DIDDelegateChanged") == {
        "identity": alice, "delegateType": VERI, "delegate": bob, "validTo": now + WEEK, "previousChange": 0,
    }  # fmt: skip
    assert did.call.validDelegate(alice, VERI, bob) is True
    assert did.call.validDelegate(alice, b"sigAuth".ljust(32, b"\0"), bob) is False
    assert did.call.delegates(alice, keccak256(VERI), bob) == now + WEEK
    did.chain.warp(WEEK)
    assert did.call.validDelegate(alice, VERI, bob) is False
    did.send.addDelegate(alice, VERI, bob, WEEK, sender=alice)
    now = did.chain.now
    done = did.send.revokeDelegate(alice, VERI, bob, sender=alice)
    assert done.only("DIDDelegateChanged")["validTo"] == now
    assert did.call.validDelegate(alice, VERI, bob) is False
    for call, more in ((did.send.addDelegate, (WEEK,)), (did.send.revokeDelegate, ())):
        with did.chain.refusing("Error", reason="bad_actor"):
            call(alice, VERI, bob, *more, sender=bob)


def test_attributes_are_events_that_lead_to_each_other(did: Contract) -> None:
    alice, bob = did.chain.account(1), did.chain.account(2)
    first, now = did.chain.number, did.chain.now
    done = did.send.setAttribute(alice, NAME, b"\x02key", WEEK, sender=alice)
    assert done.only("DIDAttributeChanged") == {
        "identity": alice, "name": NAME, "value": b"\x02key", "validTo": now + WEEK, "previousChange": 0,
    }  # fmt: skip
    done = did.send.revokeAttribute(alice, NAME, b"\x02key", sender=alice)
    assert done.only("DIDAttributeChanged") == {
        "identity": alice, "name": NAME, "value": b"\x02key", "validTo": 0, "previousChange": first,
    }  # fmt: skip
    for call, more in ((did.send.setAttribute, (WEEK,)), (did.send.revokeAttribute, ())):
        with did.chain.refusing("Error", reason="bad_actor"):
            call(alice, NAME, b"", *more, sender=bob)


SIGNED = [
    ("changeOwner", ["address"], lambda bob: [bob]),
    ("addDelegate", ["bytes32", "address", "uint256"], lambda bob: [VERI, bob, WEEK]),
    ("revokeDelegate", ["bytes32", "address"], lambda bob: [VERI, bob]),
    ("setAttribute", ["bytes32", "bytes", "uint256"], lambda bob: [NAME, b"value", WEEK]),
    ("revokeAttribute", ["bytes32", "bytes"], lambda bob: [NAME, b"value"]),
]


@pytest.mark.parametrize(("name", "kinds", "make"), SIGNED)
def test_a_signed_message_counts_once_and_from_the_owner_only(
    did: Contract, name: str, kinds: list[str], make: object
) -> None:
    alice, bob = did.chain.account(1), did.chain.account(2)
    values = make(bob)  # type: ignore[operator]
    send = did.send[f"{name}Signed({','.join(['address', 'uint8', 'bytes32', 'bytes32', *kinds])})"]
    forged = signed(did, 2, alice, ["string", *kinds], [name, *values])
    with did.chain.refusing("Error", reason="bad_signature"):
        send(alice, *forged, *values, sender=bob)
    good = signed(did, 1, alice, ["string", *kinds], [name, *values])
    other = signed(did, 1, alice, ["string", *kinds], ["somethingElse", *values])
    with did.chain.refusing("Error", reason="bad_signature"):
        send(alice, *other, *values, sender=bob)
    done = send(alice, *good, *values, sender=did.chain.account(3))
    assert len(done.events) == 1
    assert did.call.nonce(alice) == 1
    with did.chain.refusing("Error", reason="bad_signature"):
        send(alice, *good, *values, sender=bob)


def test_a_recovered_nobody_owns_nothing(did: Contract) -> None:
    zero = "0x" + "00" * 20
    with did.chain.refusing("Error", reason="bad_signature"):
        did.send.changeOwnerSigned(zero, 27, bytes(32), bytes(32), did.chain.account(1))
