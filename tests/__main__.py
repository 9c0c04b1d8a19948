"""The one entry point for every check: `python -m tests SUITE`.

    python -m tests fast                 lint, types, import rules, and every quick test      (make test)
    python -m tests long                 the tests that take minutes
    python -m tests full                 fast, then long
    python -m tests sim --seed 7         replay one simulated history, every line of it
    python -m tests sim                  all simulated histories
    python -m tests interop              other clients; what is not installed is skipped by name
    python -m tests fuzz                 decoders against noise
    python -m tests swarm -- --cases 1000000    calls of random programs on both executors, counted and shrunk
    python -m tests bench                every ratio that is claimed, measured again
    python -m tests fast -- -k pool      what follows -- goes to pytest (or to each bench)

Every stage runs even when one before it failed; the exit code is 0 when all of them held.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKERS = "2"
GRACE_S = 20


@dataclass(frozen=True)
class Stage:
    """One program to run; `limit_s` keeps a hanging one from hanging everything."""

    name: str
    command: tuple[str, ...]
    limit_s: int


def python(name: str, module: str, *arguments: str, limit_s: int = 300) -> Stage:
    """A stage that runs a module with this interpreter."""
    return Stage(name, (sys.executable, "-m", module, *arguments), limit_s)


def pytest(name: str, *arguments: str, limit_s: int) -> Stage:
    """A stage of tests on both cores; a worker takes whole files, so that what a file sets up is shared."""
    # In the order of tests/conftest.py, so that no worker is left with a long file at the end.
    spread = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
    said = ("--durations=25", "--durations-min=1")
    return python(name, "pytest", "-q", *spread, *said, *arguments, limit_s=limit_s)


def bench(path: Path, more: Sequence[str]) -> Stage:
    """A stage that measures; each prints its own table."""
    return Stage(path.stem, (sys.executable, str(path), *more), 1800)


LINT = (
    python("ruff: rules", "ruff", "check", "."),
    python("ruff: layout", "ruff", "format", "--check", "."),
    python("mypy", "mypy"),
    Stage("import rules", (str(Path(sys.executable).parent / "lint-imports"),), 300),
)


def stages(suite: str, more: Sequence[str]) -> tuple[Stage, ...]:
    """What a suite consists of."""
    fast = (*LINT, pytest("fast tests", "-m", "not long and not interop", *more, limit_s=700))
    long = pytest("long tests", "-m", "long and not interop", *more, limit_s=1800)
    suites = {
        "lint": LINT,
        "fast": fast,
        "long": (long,),
        "full": (*fast, long),
        "sim": (pytest("simulation", "tests/simulation", "-m", "", *more, limit_s=1800),),
        "interop": (pytest("interop", "-m", "interop", *more, limit_s=1200),),
        "fuzz": (pytest("fuzz", "tests/fuzz", "-m", "", *more, limit_s=1200),),
        "swarm": (python("swarm", "tests.execution.evm.swarm", *more, limit_s=24 * 3600),),
        "bench": tuple(bench(path, more) for path in sorted((ROOT / "tests" / "bench").glob("[a-z]*.py"))),
    }
    return suites[suite]


def execute(stage: Stage) -> int | str:
    """Run one stage: its exit code, or that it took too long."""
    with subprocess.Popen(stage.command, cwd=ROOT) as process:
        try:
            return process.wait(stage.limit_s)
        except subprocess.TimeoutExpired:
            # Interrupted, pytest still says what has failed so far.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            return f"stopped after {stage.limit_s} s"


def run(chosen: Sequence[Stage]) -> int:
    """Run every stage; how many did not hold."""
    results = []
    for stage in chosen:
        print(f"--- {stage.name}", flush=True)
        start = time.monotonic()
        code = execute(stage)
        results.append((stage.name, code, time.monotonic() - start))
    print("---")
    for name, code, seconds in results:
        verdict = "ok" if code == 0 else f"FAILED ({code})"
        print(f"{name:<14} {seconds:6.1f} s  {verdict}")
    return sum(code != 0 for _, code, _ in results)


def replay(seed: int) -> int:
    """One history, every line of it; 1 when it breaks a rule."""
    from tests.simulation import run as live
    from tests.simulation.checkers import Broken

    try:
        live(seed, True)
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    return 0


def main(arguments: Sequence[str]) -> int:
    """Parse, run, exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "suite", choices=["fast", "full", "long", "sim", "interop", "fuzz", "swarm", "bench", "lint"]
    )
    parser.add_argument("--limit", type=int, help="seconds for each stage, instead of its own limit")
    parser.add_argument("--seed", type=int, help="sim: replay the history of this seed")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    args, more = parser.parse_args(arguments[:cut]), arguments[cut + 1 :]
    if args.seed is not None:
        return replay(args.seed) if args.suite == "sim" else parser.error("--seed belongs to sim")
    chosen = stages(args.suite, more)
    if args.limit is not None:
        chosen = tuple(replace(stage, limit_s=args.limit) for stage in chosen)
    return 1 if run(chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
