"""`phoenix signer key`: keys of a signer made and put out of use, with its settings, while it runs."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli.auditing import on_record
from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.signing.key_places import KeyPlace
    from node.signing.service_settings import KeySettings

EXAMPLES: Final = """\
  phoenix signer key --config signer.toml list
  phoenix signer key --config signer.toml new --like 0x...
  phoenix signer key --config signer.toml disable 0x...    it stays, and signs nothing
  phoenix signer key --config signer.toml enable 0x...
  phoenix signer key --config signer.toml destroy 0x...    out of use before; for ever

A new key lies where the one named by --like does, for the same clients and kinds; [[keys]] of the settings
are changed to match, and a signer that runs takes them up within 5 s. What is done is in the audit log of the
signer's data_dir. `phoenix keys rotate --at-signer` of a node uses these commands.
"""
LIGHT_SCRYPT_N: Final = 1 << 12


def add_to(parts: Commands) -> None:
    """The commands' lines."""
    group = add_command(parts, "key", "Keys of a signer: make, put out of use, destroy.", EXAMPLES)
    group.add_argument("--config", type=Path, required=True, help="the signer's settings; [[keys]] change")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    made = add_command(actions, "new", "Another key, like one that is there.", EXAMPLES)
    add_json_flag(made)
    made.add_argument("--like", required=True, metavar="ADDRESS", help="of the key whose place it may take")
    made.add_argument("--label", help="in the token (default: the old one's with @2, @3, ...)")
    made.add_argument("--light", action="store_true", help="a key file for test networks")
    made.set_defaults(run=new_key)
    words = {
        "disable": "Out of the settings in force, and out of use.",
        "enable": "The reverse.",
        "destroy": "Destroy a key that is out of use, for ever.",
    }
    for deed, text in words.items():
        changed = add_command(actions, deed, text, EXAMPLES)
        add_json_flag(changed)
        changed.add_argument("address", help="whose key")
        changed.set_defaults(run=change_key, deed=deed)
    listed = add_command(actions, "list", "The keys of the settings.", EXAMPLES)
    add_json_flag(listed)
    listed.set_defaults(run=list_keys)


def new_key(args: argparse.Namespace) -> None:
    """Make a key for the signer to open; made already by who was killed before he knew: that one."""
    from node.config.data_dir import audit_path
    from node.primitives.ids import hex_of
    from node.signing.service_edit import with_another_key

    signer = _Signer(args.config)
    place, policy, keys = signer.find(args.like, LIGHT_SCRYPT_N if args.light else None)
    with on_record(audit_path(signer.data_dir), "signer key new", like=args.like.lower()) as found:
        address, name = keys.make(args.label)
        found |= {"address": hex_of(address), keys.setting: name}
        if not any(signer.name_of(each) == name for each in signer.keys):
            signer.write(with_another_key(signer.text, place, keys.setting, name))
    show({"address": hex_of(address), keys.setting: name, "like": signer.name_of(policy)}, as_json=args.json)


def change_key(args: argparse.Namespace) -> None:
    """Take a key out of use, put it to use again, or destroy it; done already: nothing."""
    from node.config.data_dir import audit_path
    from node.signing import service_edit

    signer = _Signer(args.config)
    if args.deed == "destroy" and not signer.has(args.address):
        show({"address": args.address.lower(), "done": args.deed}, as_json=args.json)
        return
    place, policy, keys = signer.find(args.address)
    name = signer.name_of(policy)
    with on_record(audit_path(signer.data_dir), f"signer key {args.deed}", address=args.address.lower()):
        match args.deed:
            case "disable":
                # First the process lets it go, then the key is out of use; the other way when it comes back.
                signer.write(service_edit.with_key_disabled(signer.text, place, disabled=True))
                keys.disable(name)
            case "enable":
                keys.enable(name)
                signer.write(service_edit.with_key_disabled(signer.text, place, disabled=False))
            case "destroy":
                keys.destroy(name)
                signer.write(service_edit.without_key(signer.text, place))
            case _:
                raise AssertionError(args.deed)
    show({"address": args.address.lower(), "done": args.deed}, as_json=args.json)


def list_keys(args: argparse.Namespace) -> None:
    """What the settings name, and whose it is."""
    from node.primitives.ids import hex_of

    signer = _Signer(args.config)
    keys = []
    for policy in signer.keys:
        name = signer.name_of(policy)
        address = signer.place_of(policy).address_of(name)
        state = "out of use" if policy.disabled else "in use"
        keys.append({"address": hex_of(address) if address else None, "key": name, "state": state})
    show({"keys": keys}, as_json=args.json)


class _Signer:
    """A signer's settings as they lie on the disk."""

    def __init__(self, config: Path) -> None:
        from node.signing.service_settings import load_service_settings

        settings = load_service_settings(config)
        self.data_dir, self.keys = settings.data_dir, settings.keys
        self.text = config.read_text()
        self._config = config
        self._base = config.absolute().parent
        self._pins: dict[tuple[object, ...], str] = {}

    def place_of(self, policy: "KeySettings", scrypt_n: int | None = None) -> "KeyPlace":
        """Where a key lies; may ask for a PIN, once for all keys that it opens."""
        from node.signing.key_places import KeyStorePlace, TokenPlace
        from node.signing.keystore import SCRYPT_N
        from node.signing.passwords import find_pin

        signing = policy.signing
        if signing.backend == "keystore":
            return KeyStorePlace(signing, self._base, scrypt_n or SCRYPT_N)
        source = (signing.pkcs11_token, signing.pin_file, signing.pin_fd)
        if source not in self._pins:
            self._pins[source] = find_pin(signing.pin_file, signing.pin_fd)
        return TokenPlace(signing, self._pins[source])

    def name_of(self, policy: "KeySettings") -> str:
        """How the settings name it."""
        signing = policy.signing
        if signing.backend == "keystore":
            assert signing.keystore is not None, "the settings were checked"
            return os.path.relpath(signing.keystore, self._base)
        return str(signing.pkcs11_key)

    def has(self, address: str) -> bool:
        """Whether a key of the settings is this one."""
        return self._find(address, None) is not None

    def find(self, address: str, scrypt_n: int | None = None) -> tuple[int, "KeySettings", "KeyPlace"]:
        """Which [[keys]] has this address, and where it lies; ConfigError when none has."""
        found = self._find(address, scrypt_n)
        if found is None:
            raise ConfigError([f"{self._config}: no [[keys]] is that of {address}"])
        return found

    def _find(self, address: str, scrypt_n: int | None) -> "tuple[int, KeySettings, KeyPlace] | None":
        from node.primitives.ids import hex_of

        for number, policy in enumerate(self.keys):
            place = self.place_of(policy, scrypt_n)
            found = place.address_of(self.name_of(policy))
            if found is not None and hex_of(found) == address.lower():
                return number, policy, place
        return None

    def write(self, text: str) -> None:
        """The changed settings in the place of the former."""
        from node.signing.rotation import replace_file

        replace_file(self._config, text, mode=self._config.stat().st_mode & 0o777)
