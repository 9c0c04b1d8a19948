"""Which store a node's chain lies in, and the way from one to the other.

LevelDB unless a replica has worker processes: it is the better writer, but only one process can open it. LMDB
then, and from then on, whatever the settings say later: what is there is used.
"""

import shutil
from pathlib import Path
from typing import Final

from node.config.data_dir import database_path, shared_database_path
from node.config.settings import StorageSettings
from node.storage.kv import Batch, KeyValue
from node.storage.leveldb import LevelDB
from node.storage.lmdb import DATA_FILE, LmdbStore

MOVED_BYTES: Final = 64 << 20
"""Of one write while a database is moved."""


def open_database(
    data_dir: Path, settings: StorageSettings, *, shared: bool = False
) -> tuple[KeyValue, tuple[str, ...]]:
    """The chain's store, and what the log should say of it; made where there is none.

    `shared`: other processes are going to read it. StorageError.
    """
    path = shared_database_path(data_dir)
    if (path / DATA_FILE).exists():
        return LmdbStore.open(path), ()
    if not shared:
        database = LevelDB.open(database_path(data_dir), settings)
        return database, database.notices
    return _moved(database_path(data_dir), path, settings)


def has_database(data_dir: Path) -> bool:
    """Whether there is a chain at all, in either store."""
    path = database_path(data_dir)
    return (shared_database_path(data_dir) / DATA_FILE).exists() or (path.is_dir() and any(path.iterdir()))


def _moved(old: Path, path: Path, settings: StorageSettings) -> tuple[KeyValue, tuple[str, ...]]:
    """Begin with what LevelDB holds. After a crash on the way the copy is made again."""
    if not (old / "CURRENT").exists():
        return LmdbStore.open(path), ()
    unfinished = path.with_name(path.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    source, target = LevelDB.open(old, settings), LmdbStore.open(unfinished)
    try:
        batch, size = Batch(), 0
        for key, value in source.iterate(b"", None):
            batch.put(key, value)
            size += len(key) + len(value)
            if size > MOVED_BYTES:
                target.write(batch, sync=True)
                batch, size = Batch(), 0
        target.write(batch, sync=True)
    finally:
        source.close()
        target.close()
    unfinished.rename(path)
    return LmdbStore.open(path), (f"the chain was moved from {old} to {path}; {old} may be removed",)
