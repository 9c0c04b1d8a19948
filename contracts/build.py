"""Compile the suite: `python -m contracts.build`; `--check` proves that what is checked in is what comes out.

The compiler and OpenZeppelin come from npm at pinned versions (`npm ci --ignore-scripts`, once). Sources are
gathered here and handed over as text, so that nothing but them and the settings below decides what comes out.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from contracts import artifacts, generate

ROOT: Final = Path(__file__).parent
SOURCES: Final = ROOT / "src"
BINDINGS: Final = ROOT / "bindings"
PACKAGES: Final = ("@openzeppelin/contracts", "@openzeppelin/contracts-upgradeable", "solc")
FROM_PACKAGES: Final = (
    "@openzeppelin/contracts/access/manager/AccessManager.sol",
    "@openzeppelin/contracts/governance/TimelockController.sol",
    "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol",
)
"""Contracts that are deployed as OpenZeppelin wrote them."""
SETTINGS: Final[dict[str, Any]] = {
    "evmVersion": "london",
    "optimizer": {"enabled": True, "runs": 200},
    "metadata": {"bytecodeHash": "none"},
    "outputSelection": {
        "*": {
            "*": [
                "abi",
                "evm.bytecode.object",
                "evm.deployedBytecode.object",
                "evm.deployedBytecode.immutableReferences",
                "storageLayout",
            ],
            "": ["ast"],
        }
    },
}
CODE_BYTES_MAX: Final = 24_576
"""EIP-170: no chain takes more runtime code than this."""
_IMPORT: Final = re.compile(r'^\s*import\s[^;"]*"([^"]+)"', re.MULTILINE)
_IGNORED_WARNINGS: Final = frozenset({"2394"})
"""2394: transient storage is used, which no file of ours does."""


class BuildFailed(Exception):
    """The compiler refused, or a contract is too large; the text says where."""


def packages_folder() -> Path:
    """Where npm puts the pinned packages; installed now when they are not there."""
    folder = Path(os.environ.get("PHOENIX_NODE_MODULES", ROOT / "node_modules"))
    if not all((folder / name).is_dir() for name in PACKAGES):
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder.parent, check=True
        )
    return folder


def gather(packages: Path, folders: Sequence[str] = ()) -> dict[str, str]:
    """Every source that is reached, by its name in the compiler's eyes: "src/…" or "@openzeppelin/…".

    With `folders`, only those of src/ and what they import.
    """
    roots = [SOURCES / folder for folder in folders] or [SOURCES]
    waiting = [path.relative_to(ROOT).as_posix() for root in roots for path in sorted(root.rglob("*.sol"))]
    waiting += FROM_PACKAGES
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        text = ((packages if name.startswith("@") else ROOT) / name).read_text()
        found[name] = text
        waiting += (_resolve(name, target) for target in _IMPORT.findall(text))
    return dict(sorted(found.items()))


def compile_all(
    sources: Mapping[str, str], packages: Path, *, outputs: Mapping[str, Any] = SETTINGS["outputSelection"]
) -> dict[str, Any]:
    """solc's output for the sources; BuildFailed with every error and every warning about our own files."""
    import solcx

    asked = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": outputs},
    }
    os.environ["PHOENIX_NODE_MODULES"] = str(packages)
    try:
        output: dict[str, Any] = solcx.compile_standard(asked, solc_binary=str(ROOT / "solc.js"))
    except solcx.exceptions.SolcError as error:
        raise BuildFailed(error.message) from error
    complaints = [
        each["formattedMessage"]
        for each in output.get("errors", ())
        if each["severity"] == "error"
        or (
            each.get("errorCode") not in _IGNORED_WARNINGS
            and _is_ours(each.get("sourceLocation", {}).get("file", ""))
        )
    ]
    if complaints:
        raise BuildFailed("\n".join(complaints))
    return output


def built(output: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, artifact as JSON) of every contract that can be deployed, ours and FROM_PACKAGES."""
    trees = {name: each["ast"] for name, each in output["sources"].items()}
    structs = generate.namespaced_structs(trees)
    for file, contracts in sorted(output["contracts"].items()):
        if not (_is_ours(file) or file in FROM_PACKAGES):
            continue
        for name, made in contracts.items():
            code = made["evm"]["deployedBytecode"]
            if not code["object"] or _is_library(trees[file], name):
                continue
            if len(code["object"]) // 2 > CODE_BYTES_MAX:
                raise BuildFailed(
                    f"{name}: {len(code['object']) // 2} bytes of code; {CODE_BYTES_MAX} are allowed"
                )
            places = [place for group in code["immutableReferences"].values() for place in group]
            yield (
                name,
                {
                    "name": name,
                    "source": file,
                    "abi": made["abi"],
                    "bytecode": "0x" + made["evm"]["bytecode"]["object"],
                    "deployedBytecode": "0x" + code["object"],
                    "immutables": sorted([place["start"], place["length"]] for place in places),
                    "storageLayout": generate.layout(made["storageLayout"], structs.get(file, {})),
                },
            )


def files(folders: Sequence[str] = ()) -> dict[Path, str]:
    """Everything that a build writes, by path; with `folders`, what these lead to."""
    packages = packages_folder()
    output = compile_all(gather(packages, folders), packages)
    written: dict[Path, str] = {}
    made = dict(built(output))
    for name, artifact in made.items():
        written[artifacts.FOLDER / f"{name}.json"] = json.dumps(artifact, indent=1, sort_keys=True) + "\n"
        written[BINDINGS / f"{generate.module_name(name)}.py"] = generate.binding(name, artifact)
    return written


def main(arguments: list[str] | None = None) -> int:
    """0 when built, or when nothing differs; 1 with the reasons."""
    parser = argparse.ArgumentParser(prog="python -m contracts.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what differs")
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="only these of src/; nothing is removed")
    args = parser.parse_args(arguments)
    try:
        wanted = files(args.folders)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    present = {*artifacts.FOLDER.glob("*.json"), *BINDINGS.glob("[a-z]*.py")}
    stale = [] if args.folders else sorted(present - wanted.keys())
    changed = sorted(path for path, text in wanted.items() if not path.exists() or path.read_text() != text)
    for path in (*stale, *changed):
        print(f"{'differs' if args.check else 'written'}: {path.relative_to(ROOT)}")
    if args.check:
        return 1 if stale or changed else 0
    for path in stale:
        path.unlink()
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path])
    print(f"{len(wanted)} files, {len(changed)} changed, {len(stale)} removed")
    return 0


def _resolve(importer: str, target: str) -> str:
    if not target.startswith("."):
        return target
    return os.path.normpath(os.path.join(os.path.dirname(importer), target)).replace(os.sep, "/")


def _is_ours(file: str) -> bool:
    return file.startswith("src/")


def _is_library(tree: Mapping[str, Any], name: str) -> bool:
    return any(
        node.get("name") == name and node.get("contractKind") == "library" for node in tree.get("nodes", ())
    )


if __name__ == "__main__":
    sys.exit(main())
