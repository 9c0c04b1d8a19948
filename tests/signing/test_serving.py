"""What a running signer takes up of settings that changed: certificates, clients, keys; all or nothing."""

import re
from pathlib import Path

import pytest

from node.config.settings import SigningSettings
from node.primitives.crypto import PrivateKey, recover_address
from node.primitives.errors import ConfigError
from node.primitives.ids import hex_of
from node.signing.exclusive import held_exclusively
from node.signing.keystore import KeyStoreError, store_key
from node.signing.remote import RemoteKey
from node.signing.service_observe import SignerNumbers
from node.signing.service_settings import load_service_settings
from node.signing.serving import Serving
from node.signing.signer import SigningError
from node.signing.token_keys import create_key
from tests.signing.headers import request
from tests.signing.test_service import FAST, KEY, World, ask, running
from tests.signing.tokens import MODULE, PIN, Tokens

SECOND = PrivateKey(b"\x22" * 32)


def change(world: World, old: str, new: str) -> None:
    text = world.config.read_text()
    assert text.count(old) == 1
    world.config.write_text(text.replace(old, new))


def take_up(world: World, serving: Serving) -> None:
    serving.take_up(load_service_settings(world.config))


def add_second_key(world: World) -> Path:
    """Its settings, and its file."""
    file = store_key(world.folder / "keys", SECOND, "pw", scrypt_n=FAST).path
    world.config.write_text(
        f'{world.config.read_text()}[[keys]]\nchain_id = 1337\nclients = ["alice"]\n'
        f'keystore = "keys/{file.name}"\npassword_file = "password"\n'
    )
    return file


async def test_a_node_changes_its_certificate_and_is_served_all_the_time(world: World) -> None:
    async with running(world) as serving:
        old, old_fingerprint = world.remote(world.alice), world.alice.fingerprint
        await ask(old, request(1))
        # First the signer knows both; then the node's files are the new ones; then the old one is forgotten.
        pem = {path: path.read_bytes() for path in (world.alice.certificate, world.alice.key)}
        renewed = world.authority.member("alice")
        change(world, f'"{old_fingerprint}"', f'["{old_fingerprint}", "{renewed.fingerprint}"]')
        take_up(world, serving)
        await ask(old, request(2))
        change(world, f'["{old_fingerprint}", "{renewed.fingerprint}"]', f'"{renewed.fingerprint}"')
        take_up(world, serving)
        # Its connection is ended, and made anew with the files that lie there now.
        await ask(old, request(3))
        for path, content in pem.items():
            path.write_bytes(content)
        with pytest.raises(SigningError, match="cannot be reached"):
            await ask(world.remote(world.alice), request(4))


async def test_a_new_authority_takes_the_old_ones_place_and_the_old_one_vouches_for_nobody(
    world: World,
) -> None:
    async with running(world) as serving:
        left_over = world.authority.member("left-over")
        change(world, f'"{world.bob.fingerprint}"', f'"{left_over.fingerprint}"')
        key = world.remote(world.alice)
        await ask(key, request(1))
        authority = type(world.authority)(world.folder)  # writes ca.pem anew
        authority.member("signer")
        alice = authority.member("alice")
        change(world, world.alice.fingerprint, alice.fingerprint)
        take_up(world, serving)
        await ask(key, request(2))
        with pytest.raises(SigningError, match="cannot be reached"):
            await ask(world.remote(left_over), request(3))


async def test_a_key_comes_and_a_key_goes_and_the_other_one_signs_on(world: World) -> None:
    async with running(world) as serving:
        first = serving.service._keys[KEY.address].signer
        file = add_second_key(world)
        take_up(world, serving)
        assert serving.service._keys[KEY.address].signer is first, "one guard for as long as it is held"
        asked = request(1)
        (second,) = (each for address, each in serving.service._keys.items() if address == SECOND.address)
        assert recover_address(asked.digest, await second.signer.sign(asked)) == SECOND.address
        settings = SigningSettings(keystore=file, password_file=world.folder / "password")
        with pytest.raises(KeyStoreError, match="another process"), held_exclusively(settings):
            pass
        change(world, f'keystore = "keys/{file.name}"', f'keystore = "keys/{file.name}"\ndisabled = true')
        take_up(world, serving)
        assert list(serving.service._keys) == [KEY.address]
        with held_exclusively(settings):
            pass  # whoever comes next may have it
        assert recover_address(asked.digest, await ask(world.remote(world.alice), asked)) == KEY.address


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('keystore = "keys/', 'keystore = "nowhere/', "nowhere.*No such file"),
        ('tls_certificate = "signer.pem"', 'tls_certificate = "alice.pem"', "TLS files of the signer"),
        ("port = 0", "port = 1", "change at a restart only"),
        ('data_dir = "data"', 'data_dir = "elsewhere"', "change at a restart only"),
        ('clients = ["alice"]', "clients = [", "signer.toml: "),
    ],
)
async def test_what_does_not_fit_leaves_everything_as_it_was(
    world: World, old: str, new: str, words: str
) -> None:
    async with running(world) as serving:
        before = (serving.settings, serving.context, serving.service)
        change(world, old, new)
        with pytest.raises(ConfigError) as caught:
            take_up(world, serving)
        assert re.search(words, str(caught.value))
        assert (serving.settings, serving.context, serving.service) == before
        await ask(world.remote(world.alice), request(1))


async def test_a_key_under_two_names_is_refused(world: World) -> None:
    first = load_service_settings(world.config).keys[0].signing.keystore
    assert first is not None
    (world.folder / "copy").mkdir()
    (world.folder / "copy" / first.name).write_bytes(first.read_bytes())
    (world.folder / "copy" / first.name).chmod(0o600)
    block = world.config.read_text().partition("[[keys]]")[2].replace("keys/", "copy/")
    world.config.write_text(f"{world.config.read_text()}[[keys]]{block}")
    with pytest.raises(ConfigError, match=f"name one key twice: {hex_of(KEY.address)}"):
        world.serving()


async def test_a_token_that_is_away_keeps_no_other_key_from_being_served(
    world: World, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    pin = world.folder / "pin"
    pin.write_text(PIN)
    pin.chmod(0o600)
    address = create_key(tokens.name("served", tokens.doomed), PIN)
    world.config.write_text(
        f'{world.config.read_text()}[[keys]]\nchain_id = 1337\nclients = ["alice"]\nbackend = "pkcs11"\n'
        f'pkcs11_module = "{MODULE}"\npkcs11_token = "{tokens.doomed}"\npkcs11_key = "served"\n'
        'pin_file = "pin"\n'
    )
    settings = load_service_settings(world.config)
    away = tokens.folder.with_name("away")

    def in_token() -> RemoteKey:
        return world.remote(world.alice, of=address)

    async with running(world):
        assert recover_address(request(1).digest, await ask(in_token(), request(1))) == address
    tokens.folder.rename(away)
    try:
        async with running(world) as serving:
            shown = SignerNumbers(serving)
            await ask(world.remote(world.alice), request(1))
            with pytest.raises(SigningError, match=r"\(500\).*(token 'doomed'|is the token connected)"):
                await ask(in_token(), request(2))
            serving.take_up(settings)  # a certificate that is renewed meanwhile
            serving.look_again()
            assert list(serving.problems()) == [address]
            verdict = shown.health().is_ready()
            assert verdict.well
            assert verdict.notices[0].startswith(f"{hex_of(address)} signs nothing: ")
            assert f'phoenix_signer_key_ready{{key="{hex_of(address)}"}} 0.0' in shown.exposition().decode()
            away.rename(tokens.folder)
            serving.look_again()
            assert serving.problems() == {}
            assert "a key can sign again" in caplog.text
            assert recover_address(request(2).digest, await ask(in_token(), request(2))) == address
    finally:
        if away.exists():
            away.rename(tokens.folder)


async def test_a_signer_without_any_key_that_can_sign_is_not_ready(world: World) -> None:
    async with running(world) as serving:
        (opened,) = serving._opened.values()
        opened.key.problem = "its token is away"
        verdict = SignerNumbers(serving).health().is_ready()
        assert not verdict.well
        assert "no key can sign" in verdict.reasons[0]
