"""What the settings of a read replica must satisfy beyond their types."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from node.config.settings import ReplicaSettings

UPSTREAMS_MAX: Final = 64


def check_replica(replica: ReplicaSettings) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong with it) of everything that makes no sense."""
    yield from _check_database(replica.database)
    if replica.contract_names is not None and not re.fullmatch(r"0x[0-9a-fA-F]{40}", replica.contract_names):
        yield "replica.contract_names", f"is {replica.contract_names[:60]!r}; 0x and 40 hex digits are needed"
    if replica.upstreams and replica.transactions == "refuse":
        yield "replica.upstreams", 'is set, but replica.transactions = "refuse" sends nothing there'
    if len(replica.upstreams) > UPSTREAMS_MAX:
        yield "replica.upstreams", f"has {len(replica.upstreams)} URLs; at most {UPSTREAMS_MAX}"
    for number, url in enumerate(replica.upstreams, start=1):
        fault = _url_fault(url)
        if fault:
            yield "replica.upstreams", f"item {number}: {fault}; it reads https://host:port"


def _check_database(text: str) -> Iterator[tuple[str, str]]:
    if text == "sqlite":
        return
    try:
        url = urlsplit(text)
        password = url.password
    except ValueError:
        url, password = urlsplit(""), None
    if url.scheme not in ("postgresql", "postgres"):
        # Not shown: what was meant as a URL may hold a password.
        yield "replica.database", 'is neither "sqlite" nor a URL that begins with postgresql://'
    elif password is not None or "password=" in url.query:
        yield "replica.database", "holds a password; put it into a file of mode 0600 that passfile= names"


def _url_fault(text: str) -> str | None:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return f"{text[:60]!r} is no URL"
    if url.scheme not in ("http", "https") or not url.hostname:
        return f"{text[:60]!r} is no HTTP URL"
    if url.username or url.password:
        return "a URL with a name or password in it"
    return "port 0 does not exist" if port == 0 else None
