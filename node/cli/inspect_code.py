"""`phoenix inspect code`: the Python that a contract becomes in the fast executor."""

import json
import re
from typing import TYPE_CHECKING

from node.primitives.errors import ConfigError, StorageError
from node.primitives.ids import Address, hex_of

if TYPE_CHECKING:
    from node.storage.kv import KeyValue


def parse_address(text: str) -> Address:
    """0x and 40 hex digits; ConfigError for anything else."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise ConfigError([f"ADDRESS is {text[:60]!r}; 0x and 40 hex digits are needed"])
    return Address(bytes.fromhex(text[2:]))


def describe_code(kv: "KeyValue", address: Address) -> dict[str, object]:
    """A contract of the durable state, and its translation by the rules of the next block.

    ConfigError when there is no contract at the address.
    """
    from node.config.settings import StorageSettings
    from node.execution.evm.program import ProgramCache
    from node.primitives.chain_spec import Fork
    from node.state.store import StateStore
    from node.storage import blocks

    rules, state = blocks.read_rules(kv), StateStore(kv, StorageSettings())
    if rules is None:
        raise StorageError("the database holds no chain: the rules are missing")
    try:
        base = state.base
        view = state.view(base.hash)
        account = view.account(address)
        code = b"" if account is None else view.code(account.code_hash)
    finally:
        state.close()
    if account is None or not code:
        raise ConfigError([f"no contract at {hex_of(address)} in the state of block {base}"])
    fork = max(Fork[name] for number, name in json.loads(rules)["forks"] if number <= base.number + 1)
    if fork < Fork.BYZANTIUM:
        raise ConfigError([f"{fork.name.title()} code runs on the reference executor and is not translated"])
    return {
        "address": hex_of(address),
        "block": str(base),
        "fork": fork.name.title(),
        "code_hash": hex_of(account.code_hash),
        "code_bytes": len(code),
        "python": ProgramCache(fork).once(code).listing(),
    }
