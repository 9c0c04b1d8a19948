"""The version of the database's layout, and the way from each version to the next.

A step brings a database from version N to N + 1 and may write many batches; its last one must hold the row of
the new version, so that a crash in between repeats the step. Steps are therefore written to be repeatable.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from node.primitives.errors import StorageError
from node.storage import schema
from node.storage.kv import Batch, KeyValue, Reader

Step: TypeAlias = Callable[[KeyValue], Batch]
"""Does all but the last batch, and returns that one."""


def _may_join_images(_: KeyValue) -> Batch:
    """To version 2: a `u` row may hold the before-images of several blocks. Those of one stay as they are."""
    return Batch()


STEPS: Final[tuple[Step, ...]] = (_may_join_images,)
"""STEPS[i] leads from version i + 1 to i + 2; what `schema` shows is version len(STEPS) + 1."""


def migrate(kv: KeyValue, steps: Sequence[Step] = STEPS) -> list[str]:
    """Bring a database to the version of this program; what was done, a line per step, for the log.

    A new database gets the version's row. StorageError for a newer version, or for data without a version.
    """
    current = len(steps) + 1
    found = read_version(kv)
    if found is None:
        if next(kv.iterate(b"", None), None) is not None:
            raise StorageError("the database holds data but no schema version: it is not one of this program")
        kv.write(_versioned(Batch(), current), sync=True)
        return []
    if found > current:
        raise StorageError(
            f"the database has schema version {found}; this program knows versions up to {current}: "
            "use the newer program that wrote it"
        )
    done = []
    for version in range(found, current):
        kv.write(_versioned(steps[version - 1](kv), version + 1), sync=True)
        done.append(f"database migrated from schema version {version} to {version + 1}")
    return done


def read_version(kv: Reader) -> int | None:
    """The version of the layout; None where none was ever written."""
    row = kv.get(schema.VERSION_KEY)
    return None if row is None else int.from_bytes(row, "big")


def _versioned(batch: Batch, version: int) -> Batch:
    batch.put(schema.VERSION_KEY, version.to_bytes(4, "big"))
    return batch
