"""Which official state tests run where, and how a file of them becomes a test.

Each result is checked by the fast loop; `traced` sends the same cases through the loop that leaves every
instruction to py-evm and reports each step.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from node.execution.executor import Executor
from node.execution.py_evm import PyEvmExecutor
from node.primitives.chain_spec import Fork
from node.primitives.ids import ZERO_HASH
from tests.execution.state_tests import FORKS, run_file
from tests.vectors import ethereum_test_files, ethereum_tests

FOLDER = "GeneralStateTests"
_POS = "0x44 stays DIFFICULTY: there is no beacon chain"
_POINT_EVALUATION = "there is no point evaluation contract"
NOT_OURS = {
    "CALLBlake2f_MaxRounds.json": "4,294,967,295 rounds of BLAKE2F take hours in Python",
    "Pyspecs/cancun/eip4844_blobs/": "there are no blobs",
    "Cancun/stEIP4844-blobtransactions/": "there are no blobs",
}
"""Part of a file's name -> why it is skipped."""
NOT_OURS_LATER = {
    "mergeTest.json": _POS,
    "precompsEIP2929Cancun.json": _POINT_EVALUATION,
    "stPreCompiledContracts/idPrecomps.json": _POINT_EVALUATION,
    "failed_tx_xcf416c53_Paris.json": _POINT_EVALUATION,
}
"""The same, for Shanghai and Cancun only."""
SLOW = (
    "Blake2f",
    "Call50000",
    "Call1MB",
    "Create1000",
    "LoopCallsThenRevert",
    "Precompile",
    "Return50000",
    "ContractCreationSpam",
    "loop",
    "precompsEIP2929",
    "randomStatetest177",
    "stTimeConsuming",
    "stZeroKnowledge",
)
"""Parts of names of files that take from half a second to minutes: under one fork only, in the long suite."""
HEAVY = ("loopExp.json", "CALLBlake2f.json", "CALLCODEBlake2f.json")
"""A minute and more each on the reference executor: a module of their own."""
HEAVIEST = ("loopMul.json",)
"""A quarter of an hour for three results: left to the fast executor."""


def executor() -> PyEvmExecutor:
    """The reference executor; receipts before Byzantium get no real state root, which no vector looks at."""
    return PyEvmExecutor(root_of=lambda view, changes: ZERO_HASH)


def slice_of(stride: int, *forks: str, offset: int = 0, folder: str = "") -> list[Any]:
    """Every so many-th quick file below a folder under each fork, as (file, fork); always the same."""
    assert set(forks) <= FORKS.keys()
    quick = [
        param
        for param in ethereum_test_files(FOLDER, f"{folder}**/*.json")
        if not any(part in param.id for part in SLOW)
    ]
    return [_param(param, fork) for fork in forks for param in quick[offset::stride]]


def folders(*forks: str) -> list[Any]:
    """Every folder of files under each fork, as (folder, fork)."""
    names = sorted({param.id.rpartition("/")[0] for param in ethereum_test_files(FOLDER)})
    return [pytest.param(name, fork, id=f"{fork}/{name}") for fork in forks for name in names]


def hold_folder(
    folder: str,
    fork: str,
    record_property: Callable[[str, object], None],
    under_test: Executor | None = None,
    skip: Sequence[str] = (),
    only: Sequence[str] = ("",),
) -> None:
    """Every result of a folder's files under a fork.

    `skip` and `only` are parts of names. The summary counts what is passed by for good.
    """
    failed, total, count = [], 0, 0
    under_test = under_test or executor()
    for path in sorted((ethereum_tests() / FOLDER / folder).glob("*.json")):
        name = f"{folder}/{path.name}"
        reason = not_ours(name, fork)
        chosen = any(part in name for part in only) and not any(part in name for part in skip)
        if reason is None and chosen:
            results, failures = run_file(path, fork, under_test)
            failed += failures
            total += results
            count += results > 0
        elif reason is not None:
            record_property("state_results_skipped", f"{fork}/{name}: {reason}")
    record_property("state_results", (f"{under_test.name}, {fork}", total, count))
    assert failed == []


def hold(
    file: Path, fork: str, record_property: Callable[[str, object], None], under_test: Executor | None = None
) -> None:
    """Every result of a file under a fork; the count goes to the summary."""
    under_test = under_test or executor()
    count, failures = run_file(file, fork, under_test)
    record_property("state_results", (f"{under_test.name}, {fork}", count, int(count > 0)))
    assert failures == []


def not_ours(name: str, fork: str) -> str | None:
    """Why a file is passed by; None when it is not."""
    reasons = NOT_OURS | (NOT_OURS_LATER if FORKS[fork] >= Fork.SHANGHAI else {})
    return next((reason for part, reason in reasons.items() if part in name), None)


def _param(param: Any, fork: str) -> Any:
    reason = not_ours(param.id, fork)
    marks = [*param.marks, *([pytest.mark.skip(reason=reason)] if reason else [])]
    return pytest.param(*param.values, fork, id=f"{fork}/{param.id}", marks=marks)
