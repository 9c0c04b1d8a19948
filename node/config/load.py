"""TOML file, environment and flags -> Settings; the later of the three wins, and all problems come at once.

Generic over the dataclasses of `settings`: a new setting needs no line here. A problem reads `place: what is
wrong`, where the place is file:line:column, a variable or a flag. Relative paths belong to the file that
names them, and to the working directory when a variable or flag names them.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, get_type_hints

from node.config.archive_checks import implied_by_role
from node.config.checks import check_settings
from node.config.document import read_document
from node.config.settings import Settings
from node.config.values import Unfit, convert
from node.primitives.errors import ConfigError

ENV_PREFIX: Final = "PHOENIX_"
ENV_SEPARATOR: Final = "__"

# Kubernetes sets NAME_PORT=tcp://... for every service; a service called "phoenix" must not stop the node.
_KUBERNETES_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Entry:
    """One value somebody chose, and where."""

    key: str
    """Dotted: "rpc.port"."""
    value: object
    place: str
    folder: Path
    """What a relative path is relative to."""
    is_text: bool
    """From a variable or flag: everything is text and has to be read as the type that is wanted."""


def load_settings(
    path: Path | None, env: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
) -> Settings:
    """Read settings; ConfigError lists every problem.

    `path` is a TOML file, `env` holds variables such as PHOENIX_RPC__PORT, `overrides` texts such as
    "rpc.port=8546".
    """
    problems: list[str] = []
    # Read lazily, so that problems of names and of values come in the order of the file.
    entries = chain(
        _from_file(path, problems),
        _from_environment(env or {}, problems),
        _from_flags(overrides, problems),
    )
    places: dict[str, str] = {}
    values: dict[str, object] = {}
    blamed: set[str] = set()
    for entry in entries:
        places[entry.key] = entry.place
        try:
            kind = _schema()[entry.key]
            values[entry.key] = convert(entry.value, kind, entry.folder, is_text=entry.is_text)
        except Unfit as unfit:
            problems.append(f"{entry.place}: {entry.key} {unfit}")
            blamed.add(entry.key)
    for key in _required() - places.keys():
        problems.append(f"{path or 'settings'}: {key} is missing; set it in the file or as {_variable(key)}")
        blamed.add(key)
    # The checks need whole settings; what stands in for a setting already blamed is not blamed again.
    settings = _build({key: Path() for key in _required()} | implied_by_role(values) | values)
    for key, text in check_settings(settings):
        if key not in blamed:
            problems.append(f"{places.get(key) or path or 'settings'}: {key} {text}")
    if problems:
        raise ConfigError(problems)
    return settings


# --- what there is to set ---


@cache
def _schema() -> Mapping[str, Any]:
    """Dotted key -> type, for every setting."""
    return dict(_walk(Settings, ""))


def _walk(owner: type, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, kind in get_type_hints(owner).items():
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            yield from _walk(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, kind


@cache
def _sections() -> frozenset[str]:
    return frozenset(key.rpartition(".")[0] for key in _schema()) - {""}


@cache
def _required() -> frozenset[str]:
    """Settings without a default; all of them are paths at the top level."""
    return frozenset(
        field.name
        for field in dataclasses.fields(Settings)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )


def _build(values: Mapping[str, object]) -> Settings:
    sections: dict[str, dict[str, object]] = {}
    top: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (sections.setdefault(section, {}) if section else top)[name] = value
    hints = get_type_hints(Settings)
    for section, fields in sections.items():
        top[section] = hints[section](**fields)
    return Settings(**top)


# --- where it may be set ---


def _from_file(path: Path | None, problems: list[str]) -> Iterator[Entry]:
    if path is None:
        return
    try:
        document = read_document(path)
    except ConfigError as error:
        problems += error.problems
        return
    folder = path.absolute().parent
    for keys, value in _leaves(document.tree, ()):
        place = document.place(keys)
        key = ".".join(keys)
        if key in _schema():
            yield Entry(key, value, place, folder, is_text=False)
        elif key in _sections():
            problems.append(f"{place}: {key} is a section; write [{key}] and its settings below")
        elif isinstance(value, dict):
            close = difflib.get_close_matches(key, _sections(), n=1)
            hint = f"; did you mean [{close[0]}]?" if close else ""
            problems.append(f"{place}: {key} is not a section{hint}")
        else:
            problems.append(f"{place}: {key} is not a setting{_did_you_mean(key, _schema(), str)}")


def _leaves(tree: Mapping[str, object], prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Everything that is not a section, with its path; a section that is unknown is one leaf."""
    for name, value in tree.items():
        path = (*prefix, name)
        if isinstance(value, dict) and ".".join(path) in _sections():
            yield from _leaves(value, path)
        else:
            yield path, value


def _from_environment(env: Mapping[str, str], problems: list[str]) -> Iterator[Entry]:
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX):
            continue
        key = name.removeprefix(ENV_PREFIX).lower().replace(ENV_SEPARATOR, ".")
        if key in _schema():
            yield Entry(key, env[name], name, Path.cwd(), is_text=True)
            continue
        hint = _did_you_mean(key, _schema(), _variable)
        # One underscore is no section: such a variable may well be somebody else's, unless it is nearly ours.
        if (hint or "." in key) and not _KUBERNETES_VALUE.match(env[name]):
            problems.append(f"{name}: is not a setting{hint}")


def _variable(key: str) -> str:
    return ENV_PREFIX + key.upper().replace(".", ENV_SEPARATOR)


def _from_flags(overrides: Sequence[str], problems: list[str]) -> Iterator[Entry]:
    for text in overrides:
        key, equals, value = text.partition("=")
        key, place = key.strip(), f"--set {text}"
        if not equals:
            problems.append(f"{place}: write it as key=value, for example rpc.port=8546")
        elif key not in _schema():
            problems.append(f"{place}: {key} is not a setting{_did_you_mean(key, _schema(), str)}")
        else:
            yield Entry(key, value, place, Path.cwd(), is_text=True)


def _did_you_mean(key: str, known: Mapping[str, object], spell: Any) -> str:
    """ "; did you mean x?" or nothing: by the whole key first, then by the name without its section."""
    flat = {name.replace(".", "_"): name for name in known}
    close = difflib.get_close_matches(key.replace(".", "_"), flat, n=1, cutoff=0.75)
    if close:
        return f"; did you mean {spell(flat[close[0]])}?"
    name = key.rpartition(".")[2]
    same = [other for other in known if other.rpartition(".")[2] == name] if "." in key else []
    return f"; did you mean {spell(same[0])}?" if same else ""
