"""One value of a settings file, variable or flag as the type that is wanted, or why it does not fit."""

import difflib
import os
import types
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class Unfit(Exception):
    """A value that does not fit its type; the text says why, without the place."""


def convert(value: object, kind: Any, folder: Path, *, is_text: bool) -> Any:
    """The value as its type wants it; Unfit when it does not fit.

    `kind` is str, bool, int, float, Path, a Literal of texts, tuple[str, ...], or one of these or None.
    Relative paths are below `folder`. With `is_text` the value came as text, from a variable or flag.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = next(option for option in get_args(kind) if option is not type(None))
        return None if is_text and value == "" else convert(value, inner, folder, is_text=is_text)
    if origin is Literal:
        return _one_of(value, get_args(kind))
    if origin is tuple:
        return _texts(value, is_text)
    if kind is Path:
        return _path(value, folder)
    if kind is bool:
        return _truth(value, is_text)
    if kind in (int, float):
        return _number(value, kind, is_text)
    assert kind is str, f"a setting of a type that cannot be read: {kind}"
    if not isinstance(value, str):
        raise Unfit(f"is text in quotes, not {_described(value)}")
    return value


def _one_of(value: object, options: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in options:
        return value
    close = difflib.get_close_matches(str(value), options, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise Unfit(f"is one of {', '.join(map(repr, options))}, not {_described(value)}{hint}")


def _texts(value: object, is_text: bool) -> tuple[str, ...]:
    if is_text:
        return tuple(part.strip() for part in str(value).split(",") if part.strip())
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Unfit(f'is a list of texts such as ["a", "b"], not {_described(value)}')
    return tuple(value)


def _path(value: object, folder: Path) -> Path:
    if not isinstance(value, str):
        raise Unfit(f"is a path in quotes, not {_described(value)}")
    if not value:
        raise Unfit("is an empty path")
    return Path(os.path.normpath(folder / Path(value).expanduser()))


def _truth(value: object, is_text: bool) -> bool:
    if isinstance(value, bool):
        return value
    if is_text and str(value).lower() in _TRUE | _FALSE:
        return str(value).lower() in _TRUE
    raise Unfit(f"is true or false, not {_described(value)}")


def _number(value: object, kind: type[int] | type[float], is_text: bool) -> int | float:
    wanted = "a whole number" if kind is int else "a number"
    if is_text:
        try:
            return kind(str(value))
        except ValueError:
            raise Unfit(f"is {wanted}, not {_described(value)}") from None
    fits = isinstance(value, int) if kind is int else isinstance(value, (int, float))
    if isinstance(value, bool) or not fits:
        raise Unfit(f"is {wanted}, not {_described(value)}")
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
