"""`phoenix keys rotate`: another key for a validator, or for a node's identity, while the network goes on."""

import argparse
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli.auditing import add_key_log_option, on_record
from node.cli.output import Commands, add_command, add_json_flag, show
from node.cli.rpc_client import CallFailed, NodeRpc
from node.primitives.errors import ConfigError, PhoenixError

if TYPE_CHECKING:
    from node.config.settings import Settings
    from node.signing.key_places import AtSigner, KeyPlace
    from node.signing.rotation import Choreography

EXAMPLES: Final = """\
  phoenix keys rotate --config node.toml --state rotation.json \\
      --rpc http://127.0.0.1:8645 --rpc http://127.0.0.1:8646 --restart "systemctl restart phoenix"
  phoenix keys rotate ... --to admitted      only so far; the same command later goes on
  phoenix keys rotate ... --to begun         back again, step by step
  phoenix keys rotate ... --to destroyed     and the old key for ever; there is no way back from there
  phoenix keys rotate ... --at-signer "ssh signer phoenix signer key --config /etc/phoenix/signer.toml \
      --reload 'systemctl reload phoenix-signer'"       a key behind `phoenix signer serve`
  phoenix keys rotate --node-key --config node.toml --state identity.json --rpc http://127.0.0.1:8645 \\
      --peer http://127.0.0.1:8646 --peer-config /etc/phoenix/peer.toml --restart "..."

The first --rpc is this validator's own node; the others are validators that vote by this command. Votes are
administration: name the admin listeners (rpc.admin_port). Who votes elsewhere is told what to vote for, and
waited for.

  made       a new key, beside the old one: in its key store, in its token, or where its signer has it
  admitted   voted in; final: a block by every signer stands on it
  switched   node.toml names the new key, the node was started again and has signed with it
  dropped    the old key is voted out; final
  disabled   the old key is out of use: its file renamed, its signing switched off in the token
  destroyed  the old key is gone for ever

The identity (--node-key): made, told (peers dial the new enode), switched, forgotten (nobody dials the old).
TLS certificates: replace the files. JSON-RPC listeners and `phoenix signer serve` take them up within 5 s, or
at once at SIGHUP; a node reads those for its signer at every new connection. Its own is on the signer's list:
put the new one beside the old there (`core-1 = ["AB:..", "CD:.."]`), replace the node's files, take the old
one off. Peers meet under the files that lie there when they connect; a new CA goes beside the old one in the
file of every node first.
"""
POLL_S: Final = 0.5
SIGNERS_LEAST: Final = 2
"""A network of one cannot change its key by votes: two would have to sign in turns, and one is there."""
STEPS: Final = ("made", "admitted", "switched", "dropped", "disabled", "destroyed")


class TookTooLong(PhoenixError):
    """The network did not do in time what was waited for; the command goes on where it was when repeated."""


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "rotate", "Change a key in steps that can be taken back.", EXAMPLES)
    parser.add_argument("--config", type=Path, required=True, help="the node's settings; one line is changed")
    parser.add_argument("--state", type=Path, required=True, help="journal: how far it is; made if absent")
    parser.add_argument("--rpc", action="append", required=True, help="our node first, then others that vote")
    parser.add_argument("--rpc-token-file", type=Path, help="bearer token for all of them; mode 0600")
    parser.add_argument("--restart", help="shell command that starts the node again (default: wait for it)")
    parser.add_argument("--to", help="stop at this step, also backwards (default: disabled; forgotten)")
    parser.add_argument("--new", help="label of the new key in the token, or its address at a remote signer")
    parser.add_argument("--at-signer", help="shell command that is `phoenix signer key` where the signer is")
    parser.add_argument("--light", action="store_true", help="quick to open and to guess: for test networks")
    parser.add_argument("--node-key", action="store_true", help="the identity on the network, not the vote")
    parser.add_argument("--peer", action="append", default=[], help="RPC of a peer that is told (admin_)")
    parser.add_argument("--peer-config", type=Path, action="append", default=[], help="its settings")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for each thing waited for")
    add_key_log_option(parser)
    add_json_flag(parser)
    parser.set_defaults(run=rotate)


def rotate(args: argparse.Namespace) -> None:
    """Walk from wherever the journal is to the step that is wanted."""
    from node.cli.rotate_node_key import NodeKeyRotation
    from node.config.load import load_settings
    from node.signing.keystore import read_secret_file
    from node.signing.rotation import walk

    settings = load_settings(args.config, os.environ)
    token = None
    if args.rpc_token_file is not None:
        token = read_secret_file(args.rpc_token_file).decode().strip()
    nodes = [NodeRpc(url, token) for url in args.rpc]
    wait = Patience(args.timeout)
    restart = _restarting(args.restart)
    if args.node_key:
        peers = [NodeRpc(url, token) for url in args.peer]
        identity = NodeKeyRotation(settings, nodes[0], peers, args.peer_config, restart, wait)
        steps, last = identity.choreography(), "forgotten"
    else:
        making = Making(args.new, args.light, _at_signer(args.at_signer))
        rotation = ValidatorRotation(args.config, settings, nodes, restart, wait, making)
        steps, last = rotation.choreography(), "disabled"
    journal = walk(OnRecord(steps, args.audit), args.state, args.to or last, _say)
    show({"done": journal.done, **journal.facts}, as_json=args.json)


class OnRecord:
    """Steps that are in the audit log of key administration."""

    def __init__(self, steps: "Choreography", audit: Path | None) -> None:
        self._inner = steps
        self._audit = audit
        self.what = steps.what
        self.steps = steps.steps

    def do(self, step: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """See the port."""
        with self._record("do", step, facts) as found:
            result = self._inner.do(step, facts)
            found |= result
        return result

    def undo(self, step: str, facts: Mapping[str, str]) -> None:
        """See the port."""
        with self._record("take back", step, facts):
            self._inner.undo(step, facts)

    def _record(
        self, deed: str, step: str, facts: Mapping[str, str]
    ) -> AbstractContextManager[dict[str, str]]:
        return on_record(self._audit, "keys rotate", what=self.what, deed=deed, step=step, **facts)


class Patience:
    """Waits for what a network does."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return once it holds; a node that does not answer for a while is waited for, too. TookTooLong."""
        deadline, reason = time.monotonic() + self._timeout_s, ""
        while time.monotonic() < deadline:
            try:
                if holds():
                    return
                reason = ""
            except CallFailed as error:
                reason = f" ({error})"
            time.sleep(POLL_S)
        raise TookTooLong(f"{what}: not within {self._timeout_s:g} s{reason}; the same command goes on here")


@dataclass(frozen=True, slots=True)
class Making:
    """How keys are made where they lie, and put out of use."""

    name: str | None = None
    """What the new one is called; None: the place finds a name."""
    light: bool = False
    """A key file that is quick to open, and to guess."""
    at_signer: "AtSigner | None" = None


class ValidatorRotation:
    """The steps for the key that seals."""

    def __init__(
        self,
        config: Path,
        settings: "Settings",
        nodes: Sequence[NodeRpc],
        restart: Callable[[], None],
        wait: Patience,
        making: Making,
    ) -> None:
        """`nodes`: our own first."""
        if settings.role != "validator":
            raise ConfigError([f"{config} is of a {settings.role} node; it has no key to rotate"])
        self._config = config
        self._settings = settings
        self._nodes = nodes
        self._restart = restart
        self._wait = wait
        self._making = making

    def choreography(self) -> "Choreography":
        """The steps, each with its reverse."""
        from node.signing.rotation import Deed, Deeds

        deeds = (
            Deed(lambda facts: self._make(), self._put_new_aside),
            Deed(
                lambda facts: self._vote(facts["new_address"], admit=True),
                lambda facts: self._vote(facts["new_address"], admit=False),
            ),
            Deed(
                lambda facts: self._switch(facts["new_name"], facts["new_address"]),
                lambda facts: self._switch(facts["old_name"], facts["old_address"]),
            ),
            Deed(
                lambda facts: self._vote(facts["old_address"], admit=False),
                lambda facts: self._vote(facts["old_address"], admit=True),
            ),
            Deed(self._disable, lambda facts: self._place().enable(facts["old_name"])),
            Deed(self._destroy, _refuse_return),
        )
        return Deeds("validator", dict(zip(STEPS, deeds, strict=True)))

    # --- the deeds

    def _make(self) -> Mapping[str, str]:
        sealing = self._nodes[0].call("clique_getSealing")
        if sealing is None:
            raise ConfigError([f"{self._nodes[0].url} is no validator; the first --rpc is our own node"])
        signers = self._nodes[0].call("clique_getSigners")
        if len(signers) < SIGNERS_LEAST:
            raise ConfigError(
                [
                    "a network of one signer cannot change its key by votes: two would have to sign in "
                    "turns, and one of them is not there; admit another validator first"
                ]
            )
        place = self._place()
        old_name = _setting(self._settings, place.setting, self._config)
        address, name = place.make(self._making.name)
        return {
            "old_address": sealing["signer"],
            "old_name": old_name,
            "new_address": "0x" + address.hex(),
            "new_name": name,
        }

    def _put_new_aside(self, facts: Mapping[str, str]) -> None:
        if "new_address" not in facts:
            _say("if a key was made, it was not noted; it lies beside the old one and has signed nothing")
            return
        self._refuse_in_use(facts["new_address"])
        self._place().disable(facts["new_name"])

    def _disable(self, facts: Mapping[str, str]) -> None:
        self._refuse_in_use(facts["old_address"])
        self._place().disable(facts["old_name"])

    def _destroy(self, facts: Mapping[str, str]) -> None:
        self._refuse_in_use(facts["old_address"])
        self._place().destroy(facts["old_name"])

    def _vote(self, address: str, *, admit: bool) -> None:
        for node in self._nodes:
            signers = node.call("clique_getSigners")
            if (address in signers) != admit:
                node.call("clique_propose", address, admit)
        _say(f"who votes elsewhere: clique_propose({address!r}, {str(admit).lower()})")
        what = f"{address} is {'in' if admit else 'out of'} the set of signers, finally"
        self._wait.until(lambda: all(_is_final(node, address, admit) for node in self._nodes), what)

    def _switch(self, name: str, address: str) -> None:
        from node.signing.rotation import replace_file, with_setting

        own = self._nodes[0]
        if not _signs_as(own, address):
            text = self._config.read_text()
            replace_file(self._config, with_setting(text, "signing", self._place().setting, name))
            _say(f"{self._config} names {address}; the node is started again")
            self._restart()

        def signs() -> bool:
            return _signs_as(own, address) and bool(own.call("clique_getSealing")["sealedBlocks"])

        self._wait.until(signs, f"{own.url} signs as {address}")

    def _refuse_in_use(self, address: str) -> None:
        if address in self._nodes[0].call("clique_getSigners"):
            raise ConfigError([f"{address} is a signer of the chain; it stays in use"])

    def _place(self) -> "KeyPlace":
        from node.cli.keys import LIGHT_SCRYPT_N
        from node.signing.key_places import place_of
        from node.signing.keystore import SCRYPT_N

        base = self._config.absolute().parent
        scrypt_n = LIGHT_SCRYPT_N if self._making.light else SCRYPT_N
        return place_of(self._settings.signing, base, scrypt_n, self._making.at_signer)


def _refuse_return(facts: Mapping[str, str]) -> None:
    raise ConfigError(["a key that was destroyed does not come back"])


def _signs_as(node: NodeRpc, address: str) -> bool:
    """Whether it runs with this key; a node that does not answer is not known to."""
    try:
        sealing = node.call("clique_getSealing")
    except CallFailed:
        return False
    return sealing is not None and sealing["signer"] == address


def _is_final(node: NodeRpc, address: str, admit: bool) -> bool:
    """Whether it is so at the head, and was so as many blocks ago as there are signers."""
    head = int(node.call("eth_blockNumber"), 16)
    signers = node.call("clique_getSigners")
    deep = node.call("clique_getSigners", hex(max(0, head - len(signers))))
    return (address in signers) == admit == (address in deep)


def _setting(settings: "Settings", name: str, config: Path) -> str:
    """What the settings file says; paths as they stand there."""
    value = getattr(settings.signing, name)
    return os.path.relpath(value, config.absolute().parent) if isinstance(value, Path) else str(value)


def _restarting(command: str | None) -> Callable[[], None]:
    def restart() -> None:
        if command is None:
            _say("start the node again now; it is waited for")
            return
        done = subprocess.run(command, shell=True, check=False)
        if done.returncode:
            raise ConfigError([f"{command!r} failed with exit code {done.returncode}"])

    return restart


def _at_signer(command: str | None) -> "AtSigner | None":
    if command is None:
        return None

    def at_signer(words: Sequence[str]) -> str:
        line = f"{command} {shlex.join([*words, '--json'])}"
        done = subprocess.run(line, shell=True, check=False, stdout=subprocess.PIPE, text=True)
        with suppress(ValueError, KeyError, TypeError):
            if done.returncode == 0:
                return str(json.loads(done.stdout)["address"])
        raise ConfigError([f"{line!r} failed with exit code {done.returncode}"])

    return at_signer


def _say(line: str) -> None:
    import sys

    print(line, file=sys.stderr, flush=True)
