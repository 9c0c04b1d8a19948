"""What the settings of a light client must satisfy beyond their types."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from node.config.settings import Settings

UPSTREAMS_MAX: Final = 32


def check_light(settings: Settings) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong with it) of everything that makes no sense."""
    light = settings.light
    if settings.role == "light" and not light.upstreams:
        yield (
            "light.upstreams",
            "is empty, and a light client knows nothing by itself; name two nodes",
        )
    if len(light.upstreams) > UPSTREAMS_MAX:
        yield "light.upstreams", f"has {len(light.upstreams)} URLs; at most {UPSTREAMS_MAX}"
    for number, url in enumerate(light.upstreams, start=1):
        if not _is_http(url):
            yield "light.upstreams", f"item {number}: {url[:60]!r} is no URL; it reads https://host:port"
        elif light.upstream_token_file is not None and not _keeps_secrets(url):
            yield "light.upstreams", f"item {number} is plain http to another machine; a token needs https"
    if len(set(light.upstreams)) != len(light.upstreams):
        yield "light.upstreams", "names an upstream twice; two witnesses must be two nodes"
    if (light.upstream_certificate is None) != (light.upstream_key is None):
        yield "light.upstream_key", "and light.upstream_certificate belong together; one of them is missing"
    if light.checkpoint is not None and light.checkpoint_hash is not None:
        yield "light.checkpoint_hash", "is set beside light.checkpoint; one of them is what is trusted"
    if light.checkpoint_hash is not None and not re.fullmatch("0x[0-9a-fA-F]{64}", light.checkpoint_hash):
        yield "light.checkpoint_hash", f"is {light.checkpoint_hash[:80]!r}; 0x and 64 hex digits are needed"
    if light.contract_names is not None and not re.fullmatch("0x[0-9a-fA-F]{40}", light.contract_names):
        yield "light.contract_names", f"is {light.contract_names[:60]!r}; 0x and 40 hex digits are needed"
    for number, address in enumerate(light.authorities, start=1):
        if not re.fullmatch("0x[0-9a-fA-F]{40}", address):
            yield "light.authorities", f"item {number} is {address[:60]!r}; 0x and 40 hex digits are needed"
    if light.authorities_min > len(light.authorities):
        yield "light.authorities_min", f"is {light.authorities_min}; there are {len(light.authorities)}"
    if light.authorities_min and light.checkpoint is None:
        yield "light.authorities_min", "demands signatures, and light.checkpoint names no file that has any"


def _keeps_secrets(url: str) -> bool:
    place = urlsplit(url)
    return place.scheme == "https" or place.hostname in ("localhost", "127.0.0.1", "::1")


def _is_http(text: str) -> bool:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname)
