"""Keys in a real token (SoftHSM2): what it signs, and every way in which it can fail."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from node.cli.entry import main
from node.config.settings import SigningSettings
from node.primitives.crypto import (
    SECP256K1_HALF_N,
    SECP256K1_N,
    PrivateKey,
    keccak256,
    recover_address,
)
from node.primitives.ids import Hash32
from node.signing.guard import GuardedSigner
from node.signing.keystore import KeyStoreError
from node.signing.known_token import recall, remember
from node.signing.opening import open_key
from node.signing.pkcs11 import TokenKey, TokenKeyName, recoverable
from node.signing.signer import SigningError, SigningRequest
from node.signing.token_keys import create_key
from node.storage.memory import MemoryKV
from tests.signing.tokens import MODULE, PIN, Tokens

DIGEST = keccak256(b"digest")


def asked(digest: Hash32 = DIGEST, height: int = 1) -> SigningRequest:
    return SigningRequest(kind="vote", chain_id=1, height=height, digest=digest)


def made(name: TokenKeyName) -> TokenKey:
    """A new key, opened."""
    address = create_key(name, PIN)
    key = TokenKey(name, PIN, 10.0)
    assert key.address == address
    return key


def test_what_a_token_signs_is_low_s_and_recovers_to_its_address(tokens: Tokens) -> None:
    key = made(tokens.name("signs"))
    for number in range(50):
        digest = keccak256(bytes([number]))
        signature = key.sign_digest(asked(digest))
        assert recover_address(digest, signature) == key.address
        assert int.from_bytes(signature[32:64], "big") <= SECP256K1_HALF_N
    key.close()


async def test_behind_the_guard_a_token_gives_one_signature_for_one_request(tokens: Tokens) -> None:
    key = made(tokens.name("guarded"))
    signer = GuardedSigner(key, MemoryKV(), 1)
    # The token itself draws a new nonce each time.
    assert key.sign_digest(asked()) != key.sign_digest(asked())
    assert await signer.sign(asked()) == await signer.sign(asked())


def test_settings_open_the_key(tokens: Tokens, tmp_path: Path) -> None:
    address = create_key(tokens.name("by settings"), PIN)
    pin = tmp_path / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    settings = SigningSettings(
        backend="pkcs11",
        pkcs11_module=MODULE,
        pkcs11_token=tokens.steady,
        pkcs11_key="by settings",
        pin_file=pin,
    )
    assert open_key(settings).address == address


@pytest.mark.parametrize("length", [0, 20, 31, 33, 64])
def test_a_digest_of_another_length_never_reaches_the_token(tokens: Tokens, length: int) -> None:
    name = tokens.name(f"length {length}")
    with pytest.raises(SigningError, match=f"digest of {length} bytes"):
        made(name).sign_digest(asked(Hash32(bytes(length))))


def test_the_secret_cannot_be_read_and_was_made_in_the_token(tokens: Tokens) -> None:
    import pkcs11

    from node.signing.one_thread import thread_of
    from node.signing.pkcs11 import open_session

    name = tokens.name("secret")
    create_key(name, PIN)

    def look() -> tuple[bool, bool, bool]:
        with open_session(MODULE, name.token, PIN) as session:
            private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=name.key)
            with pytest.raises(pkcs11.AttributeSensitive):
                private[pkcs11.Attribute.VALUE]
            wanted = ("SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL")
            first, second, third = (private[pkcs11.Attribute[each]] for each in wanted)
            return first, second, third

    assert thread_of(str(MODULE)).run(look, 10.0) == (True, True, True)


def test_a_name_is_given_once(tokens: Tokens) -> None:
    create_key(tokens.name("once"), PIN)
    with pytest.raises(KeyStoreError, match="there is one already"):
        create_key(tokens.name("once"), PIN)


def test_each_mistake_of_the_operator_is_told_apart(tokens: Tokens) -> None:
    for name, words in [
        (TokenKeyName(Path("/nowhere.so"), tokens.steady, "k"), "no such PKCS#11 module"),
        (TokenKeyName(Path(__file__), tokens.steady, "k"), "cannot be loaded as a PKCS#11 module"),
        (tokens.name("k", "unplugged"), "there is no token 'unplugged'.*'doomed', 'steady'"),
        (tokens.name("absent"), "no private key of this label.*phoenix token new"),
    ]:
        with pytest.raises(KeyStoreError, match=words):
            TokenKey(name, PIN, 10.0)


def test_a_wrong_pin_is_said_plainly_and_leaves_no_trace_of_itself(tokens: Tokens) -> None:
    with pytest.raises(KeyStoreError, match="wrong PIN") as caught:
        TokenKey(tokens.name("k", tokens.doomed), "00000000", 10.0)
    assert "00000000" not in str(caught.value)


def test_a_token_that_goes_is_named_and_one_that_comes_back_signs_again(tokens: Tokens) -> None:
    key = made(tokens.name("leaving", tokens.doomed))
    away = tokens.folder.with_name("away")
    tokens.folder.rename(away)
    try:
        for _ in range(2):
            with pytest.raises(SigningError, match=r"cannot be reached|cannot be loaded|no token"):
                key.sign_digest(asked())
    finally:
        away.rename(tokens.folder)
    assert recover_address(DIGEST, key.sign_digest(asked())) == key.address


def test_the_command_makes_a_key_and_proves_that_it_signs(
    tokens: Tokens, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--module", str(MODULE), "--token", tokens.steady, "--label", "by command", "--json"]
    addresses = []
    for action in ("new", "show"):
        reading, writing = os.pipe()
        os.write(writing, PIN.encode())
        os.close(writing)
        assert main(["token", action, *place, "--pin-fd", str(reading)]) == 0
        addresses.append(json.loads(capsys.readouterr().out)["address"])
    assert addresses[0] == addresses[1]


def test_high_s_is_lowered_and_foreign_signatures_are_found_out() -> None:
    key = PrivateKey(b"\x11" * 32)
    signature = key.sign(DIGEST)
    high = signature[:32] + (SECP256K1_N - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    assert recoverable(DIGEST, high, key.public_key) == signature
    assert recoverable(DIGEST, signature[:64], key.public_key) == signature
    with pytest.raises(SigningError, match="another key"):
        recoverable(DIGEST, signature[:64], PrivateKey(b"\x22" * 32).public_key)
    with pytest.raises(SigningError, match="63 bytes"):
        recoverable(DIGEST, signature[:63], key.public_key)


class Sluggish:
    """A private key whose token takes its time, or for ever."""

    def __init__(self, inner: Any, go_on: threading.Event, wait_s: float | None) -> None:
        self._inner = inner
        self._go_on = go_on
        self._wait_s = wait_s

    @property
    def session(self) -> Any:
        return self._inner.session

    def sign(self, data: bytes, **options: Any) -> bytes:
        self._go_on.wait(self._wait_s)
        return bytes(self._inner.sign(data, **options))


def test_a_token_that_takes_seconds_signs_all_the_same(tokens: Tokens) -> None:
    name = tokens.name("slow")
    create_key(name, PIN)
    key = TokenKey(name, PIN, 30.0)
    key._private = Sluggish(key._private, threading.Event(), 1.5)
    assert recover_address(DIGEST, key.sign_digest(asked())) == key.address
    key.close()


async def test_a_token_that_hangs_is_given_up_in_words_and_signs_again_when_it_is_back(
    tokens: Tokens,
) -> None:
    name, back = tokens.name("hung"), threading.Event()
    create_key(name, PIN)
    key = TokenKey(name, PIN, 0.2)
    key._private = Sluggish(key._private, back, None)
    signer = GuardedSigner(key, MemoryKV(), 1)
    words = "hangs or is overloaded: look at it, then restart the node if it does not come back"
    with pytest.raises(SigningError, match=words):
        await signer.sign(asked())
    with pytest.raises(SigningError, match="an earlier request has not been answered"):
        await signer.sign(asked())
    back.set()
    key._timeout_s = 30.0
    with trio.fail_after(60):
        while True:
            try:
                signature = await signer.sign(asked())
                break
            except SigningError:
                await trio.sleep(0.01)
    assert recover_address(DIGEST, signature) == key.address
    key.close()


def test_a_key_that_is_known_waits_for_its_token_and_no_other_takes_its_place(
    tokens: Tokens, tmp_path: Path
) -> None:
    name, path = tokens.name("known", tokens.doomed), tmp_path / "token-key.json"
    public_key = made(name).public_key
    remember(path, name, public_key)
    assert recall(path, name) == public_key
    assert recall(path, tokens.name("another", tokens.doomed)) is None
    away = tokens.folder.with_name("away")
    tokens.folder.rename(away)
    try:
        with pytest.raises(KeyStoreError):
            TokenKey(name, PIN, 10.0)
        waiting = TokenKey(name, PIN, 10.0, recall(path, name))
        mistaken = TokenKey(name, PIN, 10.0, PrivateKey(b"\x11" * 32).public_key)
        with pytest.raises(SigningError, match=r"token 'doomed'|cannot be loaded .* is the token connected"):
            waiting.sign_digest(asked())
        waiting.look_again()
        assert waiting.problem is not None
    finally:
        away.rename(tokens.folder)
    waiting.look_again()
    assert waiting.problem is None
    assert recover_address(DIGEST, waiting.sign_digest(asked())) == waiting.address
    with pytest.raises(SigningError, match="there is now another key under this name"):
        mistaken.sign_digest(asked())
    for content in ("", "[]", "{}", '{"publicKey": "0x00"}', '{"publicKey": 5}'):
        path.write_text(content)
        assert recall(path, name) is None


def test_a_refused_pin_is_tried_once_in_the_life_of_a_process_that_knows_its_key(tokens: Tokens) -> None:
    public_key = made(tokens.name("refused")).public_key
    # In a process of its own: whoever is logged in is not asked for a PIN.
    program = f"""
from tests.signing.test_pkcs11 import *
import node.signing.pkcs11 as module
tried, open_session = [], module.open_session
module.open_session = lambda *words, **more: tried.append(words) or open_session(*words, **more)
key = TokenKey(TokenKeyName(MODULE, {tokens.steady!r}, 'refused'), '00000000', 10.0,
               bytes.fromhex({public_key.hex()!r}))
print(key.problem)
for _ in range(2):
    key.look_again()
    with pytest.raises(SigningError, match='its PIN was refused and is not tried again; restart'):
        key.sign_digest(asked())
assert len(tried) == 1, tried
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "wrong PIN; tokens lock after a few, so it is not tried again" in done.stdout
    assert "00000000" not in done.stdout + done.stderr
