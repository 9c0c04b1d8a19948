"""`phoenix token`: validator keys in hardware tokens (PKCS#11). A PIN is never an argument."""

import argparse
from pathlib import Path
from typing import Final

from node.cli.auditing import add_key_log_option, on_record
from node.cli.output import Commands, add_command, add_json_flag, show

EXAMPLES: Final = """\
  phoenix token new  --module /usr/lib/softhsm/libsofthsm2.so --token signer --label sealer-1
  phoenix token import --module ... --token signer --label sealer-1 --secret-file key.hex
  phoenix token show --module /usr/lib/softhsm/libsofthsm2.so --token signer --label sealer-1 --pin-file pin
  phoenix token show --module ... --token signer --label sealer-1 --pin-fd 3  3< <(my-vault read pin)

The settings of a node that signs with the key:
  [signing]
  backend = "pkcs11"
  pkcs11_module = "/usr/lib/softhsm/libsofthsm2.so"
  pkcs11_token = "signer"
  pkcs11_key = "sealer-1"
  pin_file = "pin"
"""

LIFE: Final = {
    "disable": "Take a key out of use; it stays, and signs nothing.",
    "enable": "Put a key to use again that was taken out of it.",
    "destroy": "Destroy a key that is out of use, for ever.",
}


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "token", "Make and look at validator keys in hardware tokens.", EXAMPLES)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    new = add_command(actions, "new", "Make a secp256k1 key in the token; it can never leave.", EXAMPLES)
    _add_place(new)
    add_key_log_option(new)
    new.set_defaults(run=new_key)

    imported = add_command(actions, "import", "Bring an existing key into the token, for good.", EXAMPLES)
    _add_place(imported)
    add_key_log_option(imported)
    imported.add_argument("--secret-file", type=Path, help="64 hex digits; mode 0600 (default: ask)")
    imported.set_defaults(run=import_existing)

    for name, words in LIFE.items():
        changed = add_command(actions, name, words, EXAMPLES)
        _add_place(changed)
        add_key_log_option(changed)
        changed.set_defaults(run=change_key, deed=name)

    shown = add_command(actions, "show", "Log in, sign a test digest, print the address.", EXAMPLES)
    _add_place(shown)
    shown.set_defaults(run=show_key)


def new_key(args: argparse.Namespace) -> None:
    """Make a key and print its address."""
    from node.primitives.ids import hex_of
    from node.signing.passwords import find_pin
    from node.signing.pkcs11 import TokenKeyName
    from node.signing.token_keys import create_key

    name = TokenKeyName(args.module, args.token, args.label)
    pin = find_pin(args.pin_file, args.pin_fd)
    with on_record(args.audit, "token new", key=str(name)) as found:
        address = create_key(name, pin)
        found["address"] = hex_of(address)
    show({"address": hex_of(address), "token": args.token, "label": args.label}, as_json=args.json)


def import_existing(args: argparse.Namespace) -> None:
    """Bring a key into the token and print its address."""
    from node.cli.keys import read_secret
    from node.primitives.ids import hex_of
    from node.signing.passwords import find_pin
    from node.signing.pkcs11 import TokenKeyName
    from node.signing.token_keys import import_key

    name = TokenKeyName(args.module, args.token, args.label)
    key = read_secret(args.secret_file)
    pin = find_pin(args.pin_file, args.pin_fd)
    with on_record(args.audit, "token import", key=str(name), address=hex_of(key.address)):
        address = import_key(name, pin, key)
    show({"address": hex_of(address), "token": args.token, "label": args.label}, as_json=args.json)


def change_key(args: argparse.Namespace) -> None:
    """Take a key out of use, put it to use again, or destroy it."""
    from node.primitives.ids import hex_of
    from node.signing import token_keys
    from node.signing.passwords import find_pin
    from node.signing.pkcs11 import TokenKeyName

    name = TokenKeyName(args.module, args.token, args.label)
    pin = find_pin(args.pin_file, args.pin_fd)
    deeds = {
        "disable": token_keys.disable_key,
        "enable": token_keys.enable_key,
        "destroy": token_keys.destroy_key,
    }
    with on_record(args.audit, f"token {args.deed}", key=str(name)) as found:
        address = token_keys.find_address(name, pin)
        if address is not None:
            found["address"] = hex_of(address)
        deeds[args.deed](name, pin)
    show({"token": args.token, "label": args.label, "done": args.deed}, as_json=args.json)


def show_key(args: argparse.Namespace) -> None:
    """Prove that the key signs; KeyStoreError or SigningError say why it does not."""
    from node.primitives.crypto import keccak256, recover_address
    from node.primitives.ids import hex_of
    from node.signing.passwords import find_pin
    from node.signing.pkcs11 import TokenKey, TokenKeyName
    from node.signing.signer import SigningRequest

    name = TokenKeyName(args.module, args.token, args.label)
    key = TokenKey(name, find_pin(args.pin_file, args.pin_fd), args.timeout)
    digest = keccak256(b"phoenix token show")
    signature = key.sign_digest(SigningRequest(kind="test", chain_id=0, height=0, digest=digest))
    key.close()
    signs = recover_address(digest, signature) == key.address
    show({"address": hex_of(key.address), "signs": signs}, as_json=args.json)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--module", type=Path, required=True, help="the token's driver, a shared library")
    parser.add_argument("--token", required=True, help="label of the token")
    parser.add_argument("--label", required=True, help="label of the key in the token")
    parser.add_argument("--pin-file", type=Path, help="first line is the PIN; mode 0600 (default: ask)")
    parser.add_argument("--pin-fd", type=int, help="file descriptor that the PIN is read from")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for a signature")
    add_json_flag(parser)
