import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from node.replica.database import IndexDatabase
from node.replica.events import event_tables
from node.replica.sqlite import SqliteDatabase
from node.replica.tables import CORE_TABLES

if TYPE_CHECKING:
    from tests.replica.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[PostgresServer]":
    """One server for the session; tests that need it are skipped by name where there is none."""
    pytest.importorskip("psycopg", reason="no psycopg (pip install -e '.[postgres]')")
    from tests.replica.postgres_server import PostgresServer, find_binaries

    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL (apt install postgresql)")
    server = PostgresServer(binaries)
    try:
        server.prepare()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied: making hundreds of them takes a second."""
    path = tmp_path_factory.mktemp("index") / "prepared.sqlite"
    made = SqliteDatabase(path)
    with made.write() as session:
        for table in (*CORE_TABLES, *event_tables()):
            made.create(session, table)
    made.close()
    return path


# A server takes longer to start than all of these tests together.
KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.long)]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path, prepared_file: Path) -> Iterator[IndexDatabase]:
    """An empty database of each kind."""
    yield from _opened(request, tmp_path, prepared_file)


@pytest.fixture(scope="module", params=KINDS)
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prepared_file: Path
) -> Iterator[IndexDatabase]:
    """One of each kind for a whole module, whose tests only read."""
    yield from _opened(request, tmp_path_factory.mktemp("shared"), prepared_file)


def _opened(request: pytest.FixtureRequest, folder: Path, prepared_file: Path) -> Iterator[IndexDatabase]:
    if request.param == "sqlite":
        shutil.copy(prepared_file, folder / "index.sqlite")
        opened: IndexDatabase = SqliteDatabase(folder / "index.sqlite")
    else:
        from node.replica.postgres import PostgresDatabase

        opened = PostgresDatabase(request.getfixturevalue("postgres_server").url())
    yield opened
    opened.close()
