"""How many official results were checked, told at the end of a run."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each executor and fork."""
    files: Counter[str] = Counter()
    results: Counter[str] = Counter()
    passed_by: set[str] = set()
    swarm: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == "state_results":
                fork, result_count, file_count = value
                results[fork] += result_count
                files[fork] += file_count
            elif name == "state_results_skipped":
                passed_by.add(value)
            elif name == "swarm":
                seed, cases = value
                swarm[seed] += cases
    for fork, count in sorted(results.items()):
        line = f"official state tests: {fork}: {count:,} results in {files[fork]:,} files"
        terminalreporter.write_line(line)
    for reason, count in sorted(Counter(each.partition(": ")[2] for each in passed_by).items()):
        terminalreporter.write_line(f"official state tests: {count:,} files passed by: {reason}")
    for seed, cases in sorted(swarm.items()):
        line = f"swarm: {cases:,} cases compared between both executors, seed {seed!r}"
        terminalreporter.write_line(line)
