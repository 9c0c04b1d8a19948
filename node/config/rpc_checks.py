"""What the JSON-RPC's settings must satisfy together: nobody is let in by an omission."""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.config.settings import Settings

Problem = tuple[str, str]
ROLES: Final = ("anonymous", "reader", "submitter", "operator", "auditor", "admin")
_URL: Final = re.compile(r"(https?)://(\[[^\]]+\]|[^/:\[\]]+)(:\d{1,5})?(/[^\s]*)?")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener at this host."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_rpc_security(settings: Settings) -> Iterator[Problem]:
    """Problems of TLS, authentication, roles, the admin listener and anchoring."""
    yield from _check_tls(settings)
    yield from _check_tokens(settings)
    yield from _check_roles(settings)
    yield from _check_exposure(settings)
    yield from _check_anchoring(settings)
    if "admin" in settings.rpc.namespaces:
        yield (
            "rpc.namespaces",
            "names 'admin', which has a listener of its own; leave it out and set rpc.admin_port",
        )


def files_of_rpc(settings: Settings) -> dict[str, Path | None]:
    """Files that must exist."""
    rpc, auth = settings.rpc, settings.auth
    return {
        "rpc.tls_certificate": rpc.tls_certificate,
        "rpc.tls_key": rpc.tls_key,
        "rpc.client_ca": rpc.client_ca,
        "rpc.client_crl": rpc.client_crl,
        "auth.api_keys": auth.api_keys,
        "auth.clients": auth.clients,
        "auth.jwt_keys": auth.jwt_keys,
        "auth.jwks_ca": auth.jwks_ca,
        "audit.anchor_keystore": settings.audit.anchor_keystore,
        "audit.anchor_password_file": settings.audit.anchor_password_file,
    }


def _check_tls(settings: Settings) -> Iterator[Problem]:
    rpc = settings.rpc
    if (rpc.tls_certificate is None) != (rpc.tls_key is None):
        missing = "tls_certificate" if rpc.tls_certificate is None else "tls_key"
        yield f"rpc.{missing}", "is missing; TLS needs tls_certificate and tls_key, or neither"
    if rpc.client_certificates != "none":
        if rpc.client_ca is None:
            yield "rpc.client_ca", "is missing; it says whose client certificates count"
        if rpc.tls_certificate is None:
            yield (
                "rpc.client_certificates",
                f'is "{rpc.client_certificates}"; it needs rpc.tls_certificate',
            )
    elif rpc.client_crl is not None:
        yield "rpc.client_crl", 'is set, but rpc.client_certificates is "none": nobody would show one'
    elif settings.auth.clients is not None:
        yield "auth.clients", 'is set, but rpc.client_certificates is "none": nobody would show one'


def _check_tokens(settings: Settings) -> Iterator[Problem]:
    auth = settings.auth
    takes_tokens = auth.jwt_keys is not None or auth.jwks_url is not None
    for key, value in (("jwt_issuer", auth.jwt_issuer), ("jwt_audience", auth.jwt_audience)):
        if takes_tokens and not value:
            yield f"auth.{key}", "is missing; a token meant for somebody else would let its bearer in"
        elif value and not takes_tokens:
            yield f"auth.{key}", "is set, but neither auth.jwt_keys nor auth.jwks_url says how to verify"
    if auth.jwks_url is None:
        return
    match = _URL.fullmatch(auth.jwks_url)
    if match is None:
        yield "auth.jwks_url", f"is {auth.jwks_url[:60]!r}; it reads https://host/path"
    elif match[1] == "http" and not is_loopback(match[2]):
        yield "auth.jwks_url", "is plain http to another machine, which could send any key; use https"


def _check_roles(settings: Settings) -> Iterator[Problem]:
    auth = settings.auth
    lists = {
        "auth.local_roles": auth.local_roles,
        "auth.admin_local_roles": auth.admin_local_roles,
        "auth.stranger_roles": auth.stranger_roles,
    }
    for key, roles in lists.items():
        for role in roles:
            if role not in ROLES:
                yield key, f"{role[:40]!r} is no role; there are {', '.join(ROLES)}"
    if "admin" in auth.stranger_roles:
        yield "auth.stranger_roles", "would make everybody an administrator"


def _check_exposure(settings: Settings) -> Iterator[Problem]:
    rpc = settings.rpc
    if not rpc.enabled or rpc.insecure:
        return
    listeners = {"rpc.host": rpc.host}
    if rpc.admin_port is not None:
        listeners["rpc.admin_host"] = rpc.admin_host
    missing = [*_without_tls(settings), *_without_authentication(settings)]
    for key, host in listeners.items():
        if missing and not is_loopback(host):
            yield (
                key,
                f"is {host}, which other machines reach, without {' and '.join(missing)}; add what is "
                "missing, or say rpc.insecure = true if something in front of this node does it",
            )


def _check_anchoring(settings: Settings) -> Iterator[Problem]:
    audit = settings.audit
    if audit.anchor_keystore is None:
        return
    if not (audit.enabled and settings.rpc.enabled):
        yield "audit.anchor_keystore", "is set; anchoring needs audit.enabled and rpc.enabled"
    if audit.anchor_password_file is None:
        yield "audit.anchor_password_file", "is missing; it opens audit.anchor_keystore"
    if (audit.anchor_contract is None) == (audit.anchor_registry is None):
        yield (
            "audit.anchor_contract",
            "or audit.anchor_registry says where AuditLog is; one of them is needed",
        )
    if audit.anchor_contract is not None and not re.fullmatch(r"0x[0-9a-fA-F]{40}", audit.anchor_contract):
        yield "audit.anchor_contract", f"is {audit.anchor_contract[:60]!r}; 0x and 40 hex digits are needed"


def _without_tls(settings: Settings) -> Iterator[str]:
    if settings.rpc.tls_certificate is None:
        yield "TLS (rpc.tls_certificate, rpc.tls_key)"


def _without_authentication(settings: Settings) -> Iterator[str]:
    auth = settings.auth
    if (
        auth.api_keys is None
        and auth.jwt_keys is None
        and auth.jwks_url is None
        and settings.rpc.client_certificates != "required"
    ):
        yield "authentication (auth.api_keys, auth.jwt_keys, auth.jwks_url or client certificates)"
