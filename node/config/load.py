"""TOML file, environment and flags -> Settings; the later of the three wins, and all problems come at once.

Generic over the dataclasses of `settings`: a new setting needs no line here. A problem reads `place: what is
wrong`, where the place is file:line:column, a variable or a flag. Relative paths belong to the file that
names them, and to the working directory when a variable or flag names them.
"""

import dataclasses
import difflib
import os
import re
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from node.config.checks import check_settings
from node.config.positions import Position, key_positions
from node.config.settings import Settings
from node.primitives.errors import ConfigError

ENV_PREFIX: Final = "PHOENIX_"
ENV_SEPARATOR: Final = "__"

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
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


class _Unfit(Exception):
    """A value that does not fit its type; the text says why, without the place."""


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
            values[entry.key] = _convert(entry.value, _schema()[entry.key], entry)
        except _Unfit as unfit:
            problems.append(f"{entry.place}: {entry.key} {unfit}")
            blamed.add(entry.key)
    for key in _required() - places.keys():
        problems.append(f"{path or 'settings'}: {key} is missing; set it in the file or as {_variable(key)}")
        blamed.add(key)
    # The checks need whole settings; what stands in for a setting already blamed is not blamed again.
    settings = _build({key: Path() for key in _required()} | values)
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
        document = path.read_text(encoding="utf-8")
        tree = tomllib.loads(document)
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}{_toml_position(str(error))}")
        return
    positions = key_positions(document)
    folder = path.absolute().parent
    for keys, value in _leaves(tree, ()):
        place = f"{path}{_nearest(keys, positions)}"
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


def _toml_position(message: str) -> str:
    """tomllib ends its messages with "(at line 3, column 7)" or "(at end of document)"."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    return f":{match[2]}:{match[3]}: not TOML: {match[1]}" if match else f": not TOML: {message}"


def _nearest(keys: tuple[str, ...], positions: Mapping[tuple[str, ...], Position]) -> str:
    while keys and keys not in positions:
        keys = keys[:-1]
    found = positions.get(keys)
    return f":{found.line}:{found.column}" if found else ""


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


# --- values ---


def _convert(value: object, kind: Any, entry: Entry) -> object:
    """The value as its type wants it; _Unfit when it does not fit."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = next(option for option in get_args(kind) if option is not type(None))
        return None if entry.is_text and value == "" else _convert(value, inner, entry)
    if origin is Literal:
        return _one_of(value, get_args(kind))
    if origin is tuple:
        return _texts(value, entry.is_text)
    if kind is Path:
        return _path(value, entry.folder)
    if kind is bool:
        return _truth(value, entry.is_text)
    if kind in (int, float):
        return _number(value, kind, entry.is_text)
    assert kind is str, f"a setting of a type that load cannot read: {kind}"
    if not isinstance(value, str):
        raise _Unfit(f"is text in quotes, not {_described(value)}")
    return value


def _one_of(value: object, options: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in options:
        return value
    close = difflib.get_close_matches(str(value), options, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise _Unfit(f"is one of {', '.join(map(repr, options))}, not {_described(value)}{hint}")


def _texts(value: object, is_text: bool) -> tuple[str, ...]:
    if is_text:
        return tuple(part.strip() for part in str(value).split(",") if part.strip())
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _Unfit(f'is a list of texts such as ["a", "b"], not {_described(value)}')
    return tuple(value)


def _path(value: object, folder: Path) -> Path:
    if not isinstance(value, str):
        raise _Unfit(f"is a path in quotes, not {_described(value)}")
    if not value:
        raise _Unfit("is an empty path")
    return Path(os.path.normpath(folder / Path(value).expanduser()))


def _truth(value: object, is_text: bool) -> bool:
    if isinstance(value, bool):
        return value
    if is_text and str(value).lower() in _TRUE | _FALSE:
        return str(value).lower() in _TRUE
    raise _Unfit(f"is true or false, not {_described(value)}")


def _number(value: object, kind: type[int] | type[float], is_text: bool) -> int | float:
    wanted = "a whole number" if kind is int else "a number"
    if is_text:
        try:
            return kind(str(value))
        except ValueError:
            raise _Unfit(f"is {wanted}, not {_described(value)}") from None
    fits = isinstance(value, int) if kind is int else isinstance(value, (int, float))
    if isinstance(value, bool) or not fits:
        raise _Unfit(f"is {wanted}, not {_described(value)}")
    assert isinstance(value, (int, float))
    return kind(value)


def _described(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return "a section"
        case list():
            return "a list"
        case _:
            return repr(value)
