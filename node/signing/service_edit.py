"""Changes to a signer's settings file that leave all else in it as it is, comments too. Pure.

Each is checked by reading the result: whatever is written in a way that is not understood here (keys as an
inline array, text over several lines) is refused, and the operator's to edit.
"""

import re
import tomllib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from node.primitives.errors import ConfigError
from node.signing.rotation import with_setting

KEYS: Final = re.compile(r"\s*\[\[\s*keys\s*\]\]")
HEADER: Final = re.compile(r"\s*\[")


def with_another_key(text: str, like: int, setting: str, value: str) -> str:
    """One more [[keys]], like the one at this place but for one text; for the same clients and kinds."""
    lines, spans = _parts(text)
    begin, end = spans[like]
    block = "".join(lines[begin:end]).rstrip("\n") + "\n"
    gap = "" if lines[-1].endswith("\n") else "\n"
    added = with_setting(block.replace(lines[begin].strip(), "[keys]", 1), "keys", setting, value)
    added = _without(added.replace("[keys]", "[[keys]]", 1), "disabled")
    wanted = _read(text)
    wanted["keys"].append({**wanted["keys"][like], setting: value})
    wanted["keys"][-1].pop("disabled", None)
    return _checked(f"{text}{gap}\n{added}", wanted)


def with_key_disabled(text: str, place: int, *, disabled: bool) -> str:
    """The same key, opened by the signer or not."""
    lines, spans = _parts(text)
    begin, end = spans[place]
    block = _without("".join(lines[begin:end]), "disabled")
    wanted = _read(text)
    wanted["keys"][place].pop("disabled", None)
    if disabled:
        head, _, rest = block.partition("\n")
        block = f"{head}\ndisabled = true\n{rest}"
        wanted["keys"][place]["disabled"] = True
    return _checked("".join([*lines[:begin], block, *lines[end:]]), wanted)


def without_key(text: str, place: int) -> str:
    """All but this key."""
    lines, spans = _parts(text)
    begin, end = spans[place]
    wanted = _read(text)
    del wanted["keys"][place]
    if not wanted["keys"]:
        raise ConfigError(["it is the last key of the settings, and a signer without any does not start"])
    return _checked("".join([*lines[:begin], *lines[end:]]), wanted)


def _parts(text: str) -> tuple[list[str], Sequence[tuple[int, int]]]:
    """Lines, and where among them each [[keys]] begins and ends."""
    lines = text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if HEADER.match(line)] + [len(lines)]
    spans = [(here, following) for here, following in pairwise(heads) if KEYS.match(lines[here])]
    if len(spans) != len(_read(text).get("keys", [])):
        raise ConfigError(["the settings name their keys otherwise than by [[keys]]; edit them by hand"])
    return lines, spans


def _without(block: str, setting: str) -> str:
    lines = block.splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(rf"\s*{setting}\s*=", line))


def _checked(text: str, wanted: dict[str, Any]) -> str:
    if _read(text) != wanted:
        raise ConfigError(["the settings are written in a way that is not understood; edit them by hand"])
    return text


def _read(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ConfigError([f"not TOML: {error}"]) from error
