"""Archived files in an S3-compatible store, through boto3 (the `archive` extra). Worker threads only.

A store shows an object whole or not at all, and checks the MD5 that is sent with it; the SHA-256 stands in
the object's metadata. A manifest is put after its file, so what is listed with a manifest is complete.
"""

import configparser
import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from node.archive.errors import ArchiveFailed, BadFile
from node.archive.files import (
    ANCHOR_SUFFIX,
    ERA_SUFFIX,
    MANIFEST_SUFFIX,
    ArchivedFile,
    ArchiveDirectory,
    open_archived,
    sync_folder,
)
from node.config.settings import ArchiveSettings
from node.primitives.errors import ConfigError
from node.signing.keystore import read_secret_file

CONNECT_TIMEOUT_S: Final = 10.0
ATTEMPTS_MAX: Final = 3
"""Of one request, by the library; after that the writer comes back later."""


class ObjectStore:
    """One bucket, below a prefix."""

    def __init__(self, settings: ArchiveSettings) -> None:
        """ConfigError without boto3, or when the credentials' file cannot be used."""
        assert settings.s3_bucket is not None
        self._bucket, self._prefix = settings.s3_bucket, settings.s3_prefix
        self._client = _client(settings)

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def names(self) -> set[str]:
        """Everything that is there. ArchiveFailed when the store does not answer."""
        with self._failures("cannot be listed"):
            pages = self._client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
            return {item["Key"][len(self._prefix) :] for page in found for item in page.get("Contents", ())}

    def put(self, path: Path) -> None:
        """One file under its own name. ArchiveFailed when the store does not take it."""
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with self._failures(f"does not take {path.name}"):
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._prefix + path.name,
                    Body=file,
                    ContentMD5=b64encode(md5).decode(),
                    Metadata={"sha256": sha256},
                )

    def put_archived(self, file: ArchivedFile) -> None:
        """A file, then its manifest."""
        self.put(file.path)
        self.put(file.manifest_path)

    def fetch(self, directory: ArchiveDirectory) -> Iterator[ArchivedFile]:
        """Bring every finished file that is not in the directory yet; each once it is on the disk, by name.

        Only the manifest's signature is checked here, and the file's size. ArchiveFailed, BadFile.
        """
        names = self.names()
        directory.unfinished.mkdir(parents=True, exist_ok=True)
        for manifest in sorted(names):
            stem = manifest.removesuffix(MANIFEST_SUFFIX)
            if not manifest.endswith(MANIFEST_SUFFIX) or manifest.endswith(ANCHOR_SUFFIX) or "/" in manifest:
                continue
            if stem + ERA_SUFFIX not in names:
                raise BadFile(f"{self}: {stem + ERA_SUFFIX} is missing beside its manifest")
            wanted = [stem + ERA_SUFFIX, *({stem + ANCHOR_SUFFIX} & names), manifest]
            for name in wanted:
                if not (directory.folder / name).exists():
                    self._get(name, directory)
            yield open_archived(directory.folder / (stem + ERA_SUFFIX))

    def _get(self, name: str, directory: ArchiveDirectory) -> None:
        aside = directory.unfinished / name
        with self._failures(f"does not give {name}"):
            self._client.download_file(self._bucket, self._prefix + name, str(aside))
        aside.rename(directory.folder / name)
        sync_folder(directory.folder)

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise ArchiveFailed(f"{self} {what}: {error}") from error


def _client(settings: ArchiveSettings) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise ConfigError(
            ["archive.s3_bucket needs boto3; install it with `pip install 'phoenix-ledger[archive]'`"]
        ) from None
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=settings.s3_timeout_s,
        retries={"mode": "standard", "max_attempts": ATTEMPTS_MAX},
        # Newer checksums in trailers are refused by many compatible stores; MD5 is known to all.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
    )
    credentials = {} if settings.s3_credentials is None else _credentials(settings.s3_credentials)
    return boto3.session.Session().client(
        "s3", endpoint_url=settings.s3_endpoint, region_name=settings.s3_region, config=config, **credentials
    )


def _credentials(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_secret_file(path).decode())
        section = parser["default"]
        return {name: section[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    except (configparser.Error, UnicodeDecodeError, KeyError):
        # Without the parser's words: they may repeat a line of the file.
        raise ConfigError(
            [f"archive.s3_credentials: {path} has no [default] with aws_access_key_id, aws_secret_access_key"]
        ) from None
