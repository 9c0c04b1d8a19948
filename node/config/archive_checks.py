"""What the settings of an archive node must satisfy beyond their types."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from node.config.settings import ArchiveSettings, Settings

BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def implied_by_role(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that nobody chose and that the role decides."""
    if values.get("role") == "archive" and "storage.history_blocks" not in values:
        return {"storage.history_blocks": 0}
    return {}


def check_archive(settings: Settings) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong with it) of everything that makes no sense."""
    archive = settings.archive
    if settings.role == "archive":
        if settings.storage.history_blocks:
            yield (
                "storage.history_blocks",
                f'is {settings.storage.history_blocks}, but role is "archive", which forgets no state; leave '
                'it away, or set role = "full"',
            )
    elif archive != ArchiveSettings():
        changed = next(
            name for name in ArchiveSettings.__slots__ if getattr(archive, name) != getattr(_DEFAULT, name)
        )
        yield (
            f"archive.{changed}",
            f'is set, but role is "{settings.role}"; an archive node writes files',
        )
    yield from _check_store(archive)
    yield from _check_anchor(settings)


def _check_store(archive: ArchiveSettings) -> Iterator[tuple[str, str]]:
    if archive.s3_bucket is None:
        for name in ("s3_endpoint", "s3_credentials"):
            if getattr(archive, name) is not None:
                yield f"archive.{name}", "is set, but archive.s3_bucket is not; there is nothing to put where"
        return
    if not BUCKET.fullmatch(archive.s3_bucket):
        yield "archive.s3_bucket", f"is {archive.s3_bucket[:80]!r}, which is no name of a bucket"
    if archive.s3_endpoint is not None:
        url = urlsplit(archive.s3_endpoint)
        if url.scheme not in ("http", "https") or not url.hostname or url.username or url.password:
            yield "archive.s3_endpoint", "is no URL of the form https://host:port without a user in it"
        elif url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
            yield "archive.s3_endpoint", "is plain http to another machine; use https"


def _check_anchor(settings: Settings) -> Iterator[tuple[str, str]]:
    archive = settings.archive
    address = archive.anchor_contract
    if address is not None and not re.fullmatch(r"0x[0-9a-fA-F]{40}", address):
        yield "archive.anchor_contract", f"is {address[:60]!r}; 0x and 40 hex digits are needed"
    if archive.anchor_keystore is None:
        for name in ("anchor_contract", "anchor_registry", "anchor_password_file"):
            if getattr(archive, name) is not None:
                yield f"archive.{name}", "is set, but archive.anchor_keystore is not; nobody signs anchors"
        return
    if (address is None) == (archive.anchor_registry is None):
        yield "archive.anchor_contract", "or archive.anchor_registry says where AuditLog is: one of the two"
    if archive.anchor_rpc_url is None and not settings.rpc.enabled:
        yield "archive.anchor_rpc_url", "is missing, and rpc.enabled is false; anchors are sent through one"


_DEFAULT: Final = ArchiveSettings()
