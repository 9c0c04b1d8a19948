"""`phoenix keys`: encrypted validator keys. A secret is never an argument: other users can read those."""

import argparse
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli import doctor, rotate
from node.cli.auditing import add_key_log_option, on_record
from node.cli.output import Commands, add_command, add_json_flag, show

if TYPE_CHECKING:
    from node.primitives.crypto import PrivateKey
    from node.signing.keystore import KeyFile

EXAMPLES: Final = """\
  phoenix keys new --keystore keys/                            asks for a password, twice
  phoenix keys new --keystore keys/ --password-file password   first line; mode 0600
  phoenix keys import --keystore keys/ --secret-file key.hex   64 hex digits; asked for without the option
  phoenix keys list --keystore keys/
  phoenix keys test keys/UTC--2026-...                         does the password open it?
  phoenix keys doctor --config node.toml                       what is unsafe?
  phoenix keys doctor --signer signer.toml                     and at a signer?
  phoenix keys rotate --help                                   another key while the network goes on
"""
LIGHT_SCRYPT_N: Final = 1 << 12


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "keys", "Make, import, list and test validator keys.", EXAMPLES)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    new = add_command(actions, "new", "A new random key in a new file.", EXAMPLES)
    _add_writing(new)
    new.set_defaults(run=new_key)

    imported = add_command(actions, "import", "An existing key into a new file.", EXAMPLES)
    _add_writing(imported)
    imported.add_argument("--secret-file", type=Path, help="64 hex digits; mode 0600 (default: ask)")
    imported.set_defaults(run=import_key)

    listed = add_command(actions, "list", "The keys in a folder.", EXAMPLES)
    listed.add_argument("--keystore", type=Path, required=True, help="folder of key files")
    add_json_flag(listed)
    listed.set_defaults(run=list_all)

    tested = add_command(actions, "test", "Open a key file with its password and forget it again.", EXAMPLES)
    tested.add_argument("file", type=Path)
    tested.add_argument("--password-file", type=Path, help="first line is the password (default: ask)")
    add_json_flag(tested)
    tested.set_defaults(run=test_key)

    doctor.add_to(actions)
    rotate.add_to(actions)


def new_key(args: argparse.Namespace) -> None:
    """Make a key and print its address."""
    from node.signing.keystore import SCRYPT_N, create_key

    scrypt_n = LIGHT_SCRYPT_N if args.light else SCRYPT_N
    password = _password_for_new(args)
    with on_record(args.audit, "keys new", keystore=str(args.keystore)) as found:
        file = create_key(args.keystore, password, scrypt_n=scrypt_n)
        found |= _facts(file)
    show(_facts(file), as_json=args.json)


def import_key(args: argparse.Namespace) -> None:
    """Encrypt a key that exists and print its address."""
    from node.signing.keystore import SCRYPT_N, store_key

    key = read_secret(args.secret_file)
    scrypt_n = LIGHT_SCRYPT_N if args.light else SCRYPT_N
    password = _password_for_new(args)
    with on_record(args.audit, "keys import", keystore=str(args.keystore)) as found:
        file = store_key(args.keystore, key, password, scrypt_n=scrypt_n)
        found |= _facts(file)
    show(_facts(file), as_json=args.json)


def read_secret(path: Path | None) -> "PrivateKey":
    """A bare key from a file, or from a prompt without one; KeyStoreError when it is none."""
    from node.primitives.crypto import PrivateKey
    from node.signing.keystore import KeyStoreError, read_secret_file

    if path is None:
        text = getpass("Private key (64 hex digits): ")
    else:
        text = read_secret_file(path).decode(errors="replace")
    try:
        return PrivateKey(bytes.fromhex(text.strip().removeprefix("0x")))
    except ValueError:
        # The original message could quote digits of the secret.
        raise KeyStoreError("the secret is not 64 hex digits of a secp256k1 key") from None


def list_all(args: argparse.Namespace) -> None:
    """Addresses and files."""
    from node.primitives.ids import hex_of
    from node.signing.keystore import KeyStoreError, list_keys

    if not args.keystore.is_dir():
        raise KeyStoreError(f"{args.keystore} is not a folder")
    keys = [
        {"address": hex_of(file.address) if file.address else None, "file": str(file.path)}
        for file in list_keys(args.keystore)
    ]
    show({"keys": keys}, as_json=args.json)


def test_key(args: argparse.Namespace) -> None:
    """Whether the password opens the file; KeyStoreError when it does not."""
    from node.primitives.ids import hex_of
    from node.signing.keystore import unlock_key
    from node.signing.passwords import find_password

    key = unlock_key(args.file, find_password(args.password_file))
    show({"address": hex_of(key.address), "opens": True}, as_json=args.json)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keystore", type=Path, required=True, help="folder of key files; made if absent")
    parser.add_argument("--password-file", type=Path, help="first line is the password (default: ask, twice)")
    parser.add_argument("--light", action="store_true", help="quick to open and to guess: for test networks")
    add_key_log_option(parser)
    add_json_flag(parser)


def _password_for_new(args: argparse.Namespace) -> str:
    from node.signing.passwords import find_password, new_password

    return find_password(args.password_file) if args.password_file else new_password()


def _facts(file: "KeyFile") -> dict[str, str]:
    from node.primitives.ids import hex_of

    assert file.address is not None, "we wrote it"
    return {"address": hex_of(file.address), "file": str(file.path)}
