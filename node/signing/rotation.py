"""Changing a key in steps: each can be done again after a crash, and each can be taken back.

A journal on disk says how far it came and what was made on the way. A step is noted as begun before it is
done, and as done after: whoever resumes does the step that was begun once more, so a deed must mind that.
What the steps of one kind of key are is not known here.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from node.primitives.errors import ConfigError

FORMAT: Final = "phoenix-key-rotation"
VERSION: Final = 1
BEGUN: Final = "begun"
"""Nothing is done yet, or everything was taken back."""


@dataclass(frozen=True, slots=True)
class Journal:
    """How far a rotation is."""

    what: str
    """Which kind of key."""
    done: str = BEGUN
    """The last step that is done."""
    under_way: str | None = None
    """The step that was begun after it, in either direction."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was found and made: addresses, and where keys are. No secret."""


class Choreography(Protocol):
    """The steps for one kind of key, in order."""

    what: str
    steps: Sequence[str]

    def do(self, step: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """Do it, again if need be; facts to be kept. Any error leaves the step under way."""
        ...

    def undo(self, step: str, facts: Mapping[str, str]) -> None:
        """Take it back, again if need be; ConfigError where that is impossible."""
        ...


@dataclass(frozen=True, slots=True)
class Deed:
    """What one step does, and what takes it back: either may be done again. Told what the journal knows."""

    do: Callable[[Mapping[str, str]], Mapping[str, str] | None]
    undo: Callable[[Mapping[str, str]], None]


class Deeds:
    """A choreography as a table."""

    def __init__(self, what: str, deeds: Mapping[str, Deed]) -> None:
        """`deeds`: the steps in their order."""
        self.what = what
        self.steps: Sequence[str] = tuple(deeds)
        self._deeds = deeds

    def do(self, step: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        """See the port."""
        return self._deeds[step].do(facts) or {}

    def undo(self, step: str, facts: Mapping[str, str]) -> None:
        """See the port."""
        self._deeds[step].undo(facts)


def path_between(steps: Sequence[str], done: str, target: str) -> list[tuple[str, bool]]:
    """What is to be done from one place to another: (step, forward), in order."""
    places = [BEGUN, *steps]
    for name in (done, target):
        if name not in places:
            raise ConfigError([f"there is no step {name!r}; there are {', '.join(places)}"])
    here, there = places.index(done), places.index(target)
    if here <= there:
        return [(step, True) for step in places[here + 1 : there + 1]]
    return [(step, False) for step in reversed(places[there + 1 : here + 1])]


def walk(choreography: Choreography, path: Path, target: str, say: Callable[[str], None]) -> Journal:
    """Go from wherever the journal is to the target, forwards or backwards."""
    journal = read_journal(path, choreography.what)
    # What was begun last may be half done: going back takes that back as well.
    if journal.under_way is not None and choreography.steps:
        places = [BEGUN, *choreography.steps]
        ahead = places.index(journal.under_way) > places.index(journal.done)
        if ahead and places.index(target) <= places.index(journal.done):
            journal = replace(journal, done=journal.under_way)
    for step, forward in path_between(choreography.steps, journal.done, target):
        journal = replace(journal, under_way=step)
        write_journal(path, journal)
        say(f"{step}: {'does it' if forward else 'takes it back'}")
        if forward:
            facts = choreography.do(step, journal.facts)
            journal = replace(journal, done=step, under_way=None, facts={**journal.facts, **facts})
        else:
            choreography.undo(step, journal.facts)
            before = [BEGUN, *choreography.steps]
            journal = replace(journal, done=before[before.index(step) - 1], under_way=None)
        write_journal(path, journal)
    return journal


def read_journal(path: Path, what: str) -> Journal:
    """The journal of a file; a new one where there is none. ConfigError for another's."""
    try:
        fields: Any = json.loads(path.read_text())
        found = (fields["format"], fields["version"], fields["what"])
        journal = Journal(fields["what"], fields["done"], fields["under_way"], dict(fields["facts"]))
    except FileNotFoundError:
        return Journal(what)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError([f"{path}: not the journal of a rotation: {error}"]) from error
    if found != (FORMAT, VERSION, what):
        raise ConfigError([f"{path}: the journal of another rotation: {found}; here {what!r} is rotated"])
    return journal


def write_journal(path: Path, journal: Journal) -> None:
    """Whole or not at all, and on the disk on return."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "what": journal.what,
        "done": journal.done,
        "under_way": journal.under_way,
        "facts": dict(journal.facts),
    }
    replace_file(path, json.dumps(content, indent=2) + "\n")


def replace_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole; on return it has reached the disk."""
    aside = path.with_name(path.name + ".new")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def with_setting(toml: str, section: str, name: str, value: str) -> str:
    """Settings with one text in one section replaced; everything else, comments too, stays as it is.

    ConfigError when the setting does not stand there exactly once, on a line of its own.
    """
    lines, inside, changed = toml.splitlines(keepends=True), False, 0
    for place, line in enumerate(lines):
        if re.match(r"\s*\[", line):
            inside = bool(re.match(rf"\s*\[\s*{re.escape(section)}\s*\]", line))
        elif inside and (match := re.match(rf'(\s*{re.escape(name)}\s*=\s*)("[^"]*"|\'[^\']*\')(.*)', line)):
            end = "\n" if line.endswith("\n") else ""
            lines[place] = f"{match[1]}{json.dumps(value)}{match[3]}{end}"
            changed += 1
    if changed != 1:
        raise ConfigError([f"[{section}] {name} stands {changed} times in the settings; once is needed"])
    return "".join(lines)
