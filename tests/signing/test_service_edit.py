"""Keys come and go in a signer's settings, and nothing else in the file changes."""

import pytest

from node.primitives.errors import ConfigError
from node.signing.service_edit import with_another_key, with_key_disabled, without_key

HEAD = '# mine\nport = 1\n\n[clients]\na = "AB"  # ours\n\n'
ONE = '[[keys]]\nchain_id = 1\npkcs11_key = "one"  # the first\n'
TWO = '[[keys]]\nchain_id = 2\ndisabled = true\npkcs11_key = "two"\n'
TEXT = HEAD + ONE + "\n" + TWO


def test_another_key_is_like_the_one_it_is_copied_from_but_for_its_name() -> None:
    added = '\n[[keys]]\nchain_id = 1\npkcs11_key = "three"  # the first\n'
    assert with_another_key(TEXT, 0, "pkcs11_key", "three") == TEXT + added
    in_use = '\n[[keys]]\nchain_id = 2\npkcs11_key = "three"\n'
    assert with_another_key(TEXT, 1, "pkcs11_key", "three") == TEXT + in_use
    assert with_another_key((HEAD + ONE).rstrip("\n"), 0, "pkcs11_key", "three") == HEAD + ONE + added


def test_a_key_is_put_out_of_use_and_to_use_again() -> None:
    off = with_key_disabled(TEXT, 0, disabled=True)
    assert off == TEXT.replace("chain_id = 1", "disabled = true\nchain_id = 1")
    assert with_key_disabled(off, 0, disabled=True) == off
    assert with_key_disabled(off, 0, disabled=False) == TEXT
    assert with_key_disabled(TEXT, 1, disabled=False) == TEXT.replace("disabled = true\n", "")


def test_a_key_goes_and_the_last_one_stays() -> None:
    assert without_key(TEXT, 0) == HEAD + TWO
    assert without_key(TEXT, 1) == HEAD + ONE + "\n"
    with pytest.raises(ConfigError, match="the last key"):
        without_key(HEAD + ONE, 0)


@pytest.mark.parametrize(
    "text",
    [
        'keys = [{chain_id = 1, pkcs11_key = "one"}]\n',
        '[[keys]]\nchain_id = 1\npkcs11_key = """\none"""\n',
        '[[keys]]\npkcs11_key = "one"\nnote = """\n[[keys]]\n"""\n',
    ],
)
def test_what_is_written_in_another_way_is_left_to_the_operator(text: str) -> None:
    with pytest.raises(ConfigError):
        with_another_key(text, 0, "pkcs11_key", "two")
