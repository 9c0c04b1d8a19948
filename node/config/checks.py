"""What settings must satisfy beyond their types: ranges, files that exist, what only makes sense together.

A rule yields (dotted key, what is wrong); the loader knows where the key was set. Ranges follow from the unit
at the end of a name, so a new setting is checked without a line here; RANGES holds the exceptions.
"""

import dataclasses
import difflib
import ipaddress
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.config.archive_checks import check_archive
from node.config.light_checks import check_light
from node.config.replica_checks import check_replica
from node.config.rpc_checks import check_rpc_security, files_of_rpc
from node.config.settings import Settings, SigningSettings

Problem = tuple[str, str]
"""(dotted key, what is wrong with it)."""

PORT_MAX: Final = 65_535
VANITY_BYTES_MAX: Final = 32
NAMESPACES: Final = ("eth", "net", "web3", "txpool", "clique", "debug", "admin", "perm", "phoenix")

RANGES: Final[dict[str, tuple[int, int]]] = {
    "storage.write_buffer_bytes": (64 * 1024, 1 << 30),
    "storage.block_cache_bytes": (64 * 1024, 1 << 40),
    "production.gas_limit_target": (5_000, (1 << 63) - 1),
    "pool.replacement_percent": (0, 1_000),
    "execution.audit_share": (0, 1),
    "replica.workers": (0, 256),
    "light.witnesses": (1, 64),
    "light.headers_kept": (512, 1 << 20),
    "archive.blocks_per_file": (1, 8_192),
    "audit.disk_bytes_max": (1 << 20, 1 << 50),
}
"""Least and most, both allowed, where the unit alone does not say it."""

_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_ENODE: Final = re.compile(
    r"enode://(?P<id>[^@]*)@(?P<host>\[[^\]]*\]|[^:/?]*):(?P<port>\d+)(\?discport=\d+)?"
)


def check_settings(settings: Settings) -> Iterator[Problem]:
    """Every problem of otherwise well-typed settings."""
    for key, value in _flat(settings, ""):
        yield from _check_range(key, value)
    yield from _check_hosts(settings)
    yield from _check_peers(settings)
    yield from _check_ports_differ(settings)
    yield from _check_role(settings)
    yield from _check_tls(settings)
    yield from _check_files(settings)
    yield from _check_rpc(settings)
    yield from check_rpc_security(settings)
    yield from check_replica(settings.replica)
    yield from check_light(settings)
    yield from check_archive(settings)
    ingress = settings.permissioning.node_ingress
    if ingress is not None and not re.fullmatch(r"0x[0-9a-fA-F]{40}", ingress):
        yield "permissioning.node_ingress", f"is {ingress[:60]!r}; 0x and 40 hex digits are needed"
    if settings.execution.audit == settings.execution.executor:
        yield "execution.audit", "is the executor itself; the other one can audit it"
    vanity = len(settings.production.extra_vanity.encode())
    if vanity > VANITY_BYTES_MAX:
        yield "production.extra_vanity", f"is {vanity} bytes of UTF-8; at most {VANITY_BYTES_MAX}"


def _flat(owner: object, prefix: str) -> Iterator[tuple[str, object]]:
    assert dataclasses.is_dataclass(owner)
    for field in dataclasses.fields(owner):
        value = getattr(owner, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def _check_range(key: str, value: object) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        yield key, f"is {value}; a finite number is needed"
        return
    if key.endswith("_s") and not key.endswith("_per_s") and value <= 0:
        yield key, f"is {value} seconds; more than 0 is needed"
        return
    least, most = _range(key)
    if not least <= value <= most:
        wanted = f"{least} or more" if most == math.inf else f"{least} to {most}"
        yield key, f"is {value}; {wanted} is needed"


def _range(key: str) -> tuple[float, float]:
    if key in RANGES:
        return RANGES[key]
    if key.endswith("port"):
        return 0, PORT_MAX
    if key.endswith(("_max", "_bytes")):
        return 1, math.inf
    return 0, math.inf


def _check_hosts(settings: Settings) -> Iterator[Problem]:
    hosts = {
        "p2p.host": settings.p2p.host,
        "p2p.advertise_host": settings.p2p.advertise_host,
        "rpc.host": settings.rpc.host,
        "rpc.admin_host": settings.rpc.admin_host,
        "observability.metrics_host": settings.observability.metrics_host,
    }
    for key, host in hosts.items():
        if host is not None and not _is_host(host):
            yield key, f"is {host!r}; an IP address or a host name is needed, without scheme and port"


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return bool(_HOST_NAME.fullmatch(host)) and not host.replace(".", "").isdigit()
    return True


def _check_peers(settings: Settings) -> Iterator[Problem]:
    lists = {"p2p.static_peers": settings.p2p.static_peers, "p2p.trusted_peers": settings.p2p.trusted_peers}
    for key, urls in lists.items():
        for number, url in enumerate(urls, start=1):
            fault = _enode_fault(url)
            if fault:
                yield key, f"item {number}: {fault}; it reads enode://<128 hex digits>@host:port"


def _enode_fault(url: str) -> str | None:
    match = _ENODE.fullmatch(url)
    if match is None:
        return f"{url[:60]!r} is not an enode URL"
    if not re.fullmatch(r"[0-9a-fA-F]{128}", match["id"]):
        return f"the node id has {len(match['id'])} characters, or some that are not hex digits"
    if not _is_host(match["host"]):
        return f"{match['host']!r} is no host"
    if not 0 < int(match["port"]) <= PORT_MAX:
        return f"port {match['port']} does not exist"
    return None


def _check_ports_differ(settings: Settings) -> Iterator[Problem]:
    """Port 0 asks the system for a free one, so it never collides."""
    used = {"p2p.port": settings.p2p.port}
    if settings.rpc.enabled:
        used["rpc.port"] = settings.rpc.port
        if settings.rpc.admin_port is not None:
            used["rpc.admin_port"] = settings.rpc.admin_port
    if settings.observability.metrics_port is not None:
        used["observability.metrics_port"] = settings.observability.metrics_port
    owners: dict[int, str] = {}
    for key, port in used.items():
        if port and port in owners:
            yield key, f"is {port}, which {owners[port]} has already"
        owners.setdefault(port, key)


def _check_role(settings: Settings) -> Iterator[Problem]:
    if settings.role == "validator":
        yield from _check_key(settings)
        if not settings.production.enabled:
            yield "production.enabled", 'is false, but role is "validator"; set it, or set role = "full"'
    elif settings.production.enabled:
        yield "production.enabled", f'is true, but role is "{settings.role}"; only a validator does'


def _check_key(settings: Settings) -> Iterator[Problem]:
    """Each back end needs what says where its key is."""
    signing = settings.signing
    if signing.backend == "keystore":
        if signing.keystore is None:
            yield "signing.keystore", "is missing; a validator signs with it (`phoenix keys new` makes one)"
        return
    needed: dict[str, object]
    if signing.backend == "pkcs11":
        needed = {
            "signing.pkcs11_module": signing.pkcs11_module,
            "signing.pkcs11_token": signing.pkcs11_token,
            "signing.pkcs11_key": signing.pkcs11_key,
        }
    else:
        needed = {"signing.remote_url": signing.remote_url, "signing.remote_address": signing.remote_address}
        yield from _check_remote(signing)
    for key, value in needed.items():
        if value is None:
            yield key, f'is missing; signing.backend = "{signing.backend}" needs it'


def _check_remote(signing: SigningSettings) -> Iterator[Problem]:
    if signing.remote_address is not None and not re.fullmatch(r"0x[0-9a-fA-F]{40}", signing.remote_address):
        yield "signing.remote_address", f"is {signing.remote_address[:60]!r}; 0x and 40 hex digits are needed"
    if signing.remote_url is None:
        return
    match = re.fullmatch(r"(https?)://(\[[^\]]+\]|[^/:\[\]]+)(:\d{1,5})?/?", signing.remote_url)
    if match is None or not _is_host(match[2]):
        yield "signing.remote_url", f"is {signing.remote_url[:60]!r}; it reads https://host:port"
    elif match[1] == "http" and match[2] not in ("localhost", "127.0.0.1", "[::1]"):
        yield "signing.remote_url", "is plain http to another machine; use https"
    elif match[1] == "https":
        tls = {
            "signing.remote_certificate": signing.remote_certificate,
            "signing.remote_key": signing.remote_key,
            "signing.remote_ca": signing.remote_ca,
        }
        for key, path in tls.items():
            if path is None:
                yield key, "is missing; a signer is reached under mutual TLS"


def _check_tls(settings: Settings) -> Iterator[Problem]:
    given = {
        "p2p.tls_certificate": settings.p2p.tls_certificate,
        "p2p.tls_key": settings.p2p.tls_key,
        "p2p.tls_ca": settings.p2p.tls_ca,
    }
    if any(given.values()):
        for key, path in given.items():
            if path is None:
                yield key, "is missing; mutual TLS needs tls_certificate, tls_key and tls_ca, or none of them"


def _check_files(settings: Settings) -> Iterator[Problem]:
    files: dict[str, Path | None] = {
        "genesis": settings.genesis,
        "signing.keystore": settings.signing.keystore,
        "signing.password_file": settings.signing.password_file,
        "signing.pkcs11_module": settings.signing.pkcs11_module,
        "signing.pin_file": settings.signing.pin_file,
        "signing.remote_certificate": settings.signing.remote_certificate,
        "signing.remote_key": settings.signing.remote_key,
        "signing.remote_ca": settings.signing.remote_ca,
        "p2p.tls_certificate": settings.p2p.tls_certificate,
        "p2p.tls_key": settings.p2p.tls_key,
        "p2p.tls_ca": settings.p2p.tls_ca,
        "replica.upstream_token_file": settings.replica.upstream_token_file,
        "light.checkpoint": settings.light.checkpoint,
        "light.upstream_ca": settings.light.upstream_ca,
        "light.upstream_certificate": settings.light.upstream_certificate,
        "light.upstream_key": settings.light.upstream_key,
        "light.upstream_token_file": settings.light.upstream_token_file,
        "archive.s3_credentials": settings.archive.s3_credentials,
        "archive.anchor_keystore": settings.archive.anchor_keystore,
        "archive.anchor_password_file": settings.archive.anchor_password_file,
    } | files_of_rpc(settings)
    for key, path in files.items():
        if path is not None and not path.is_file():
            yield key, f"names {path}, and there is no such file"
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        yield "data_dir", f"is {settings.data_dir}, which is not a directory"


def _check_rpc(settings: Settings) -> Iterator[Problem]:
    for name in settings.rpc.namespaces:
        if name not in NAMESPACES:
            close = difflib.get_close_matches(name, NAMESPACES, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(NAMESPACES)}"
            yield "rpc.namespaces", f"{name!r} is not a namespace{hint}"
