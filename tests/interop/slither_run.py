"""Run every detector of slither on what the compiler said, in slither's own environment: COMPILED RESULT.

Runs in a folder that holds the sources under the names that the compiler knows them by. The result is a list
of lines, each a finding without line numbers, so that code above it may move.
"""

import inspect
import json
import re
import sys
from pathlib import Path

from crytic_compile import CryticCompile
from crytic_compile.compilation_unit import CompilationUnit
from crytic_compile.compiler.compiler import CompilerVersion
from crytic_compile.platform.solc_standard_json import SolcStandardJson, parse_standard_json_output
from slither import Slither
from slither.detectors import all_detectors
from slither.detectors.abstract_detector import AbstractDetector

PLACE = re.compile(r" ?\(src/[^()]*\)")


class Compiled(SolcStandardJson):
    """Trees of syntax that are there already. No bytecode: no detector looks at it, and it takes long."""

    def __init__(self, said: dict) -> None:
        super().__init__({})
        self.said = said

    def compile(self, crytic_compile: CryticCompile, **_: object) -> None:
        """Hand over what the compiler said."""
        unit = CompilationUnit(crytic_compile, "phoenix")
        unit.compiler_version = CompilerVersion(compiler="solc", version=self.said["version"], optimized=True)
        nothing = {"object": "", "sourceMap": ""}
        for contracts in self.said["contracts"].values():
            for each in contracts.values():
                each["evm"] = {"bytecode": nothing, "deployedBytecode": nothing}
        parse_standard_json_output(self.said, unit)


def findings(said: dict) -> list[str]:
    """What the detectors say about src/."""
    compiled = CryticCompile(Compiled(said))
    slither = Slither(compiled, filter_paths=["@openzeppelin/"])
    for _, found in sorted(inspect.getmembers(all_detectors, inspect.isclass)):
        if issubclass(found, AbstractDetector) and found is not AbstractDetector:
            slither.register_detector(found)
    return sorted(shown(each) for part in slither.run_detectors() for each in part)


def shown(finding: dict[str, str]) -> str:
    """One line: "detector: what it says"."""
    lines = (PLACE.sub("", line).strip().removeprefix("- ") for line in finding["description"].splitlines())
    return f"{finding['check']}: " + " / ".join(line for line in lines if line)


if __name__ == "__main__":
    given, result = sys.argv[1:]
    Path(result).write_text(json.dumps(findings(json.loads(Path(given).read_text()))))
