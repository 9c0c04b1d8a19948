"""Which contract stands where on one chain: a JSON file, written before each transaction is sent."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


class OtherChain(Exception):
    """The file belongs to another chain."""

    def __init__(self, path: Path, recorded: str, found: str) -> None:
        super().__init__(f"{path} is about the chain {recorded}; this one is {found}")


@dataclass(slots=True)
class Entry:
    """One contract."""

    address: str
    artifact: str
    """What its code is: for a proxy, ERC1967Proxy."""
    layout: dict[str, list[str]] | None = None
    """Of code behind a proxy: namespace -> members, against which its next version is compared."""


@dataclass(slots=True)
class Registry:
    """The file; `path` None keeps it in memory only."""

    chain: str
    """Chain id and genesis hash: "325000:0x…"."""
    path: Path | None = None
    entries: dict[str, Entry] = field(default_factory=dict)

    def put(self, name: str, entry: Entry) -> None:
        """Record a contract, durably: after a crash its place is known, whether it is there or not."""
        self.entries[name] = entry
        if self.path is None:
            return
        text = json.dumps(
            {"chain": self.chain, "contracts": {name: asdict(each) for name, each in self.entries.items()}},
            indent=2,
        )
        aside = self.path.with_name(self.path.name + ".new")
        aside.write_text(text + "\n")
        aside.rename(self.path)


def open_registry(path: Path, chain: str) -> Registry:
    """What is known of this chain, or nothing yet; OtherChain when the file is about another."""
    if not path.exists():
        return Registry(chain, path)
    found = json.loads(path.read_text())
    if found["chain"] != chain:
        raise OtherChain(path, found["chain"], chain)
    entries = {name: Entry(**each) for name, each in found["contracts"].items()}
    return Registry(chain, path, entries)
