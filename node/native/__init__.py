"""Leaf work in C, where a compiler was there when the package was installed; in Python everywhere else.

`kernels` is the extension, or None. Whoever has a kernel to use keeps the same in Python beside it, and both
are held to be equal by tests. Nothing but speed depends on which one runs. Kernels take bytes and give bytes,
check every length themselves, and let go of the interpreter lock where they take long. Two work on Python's
objects: `storage.c` on the slots of the executor's world, `interpret.c` on its cold code.

`PHOENIX_PURE_PYTHON=1` in the environment leaves them out: for tests, and to rule them out as a cause.
"""

import os
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

Form = TypeVar("Form", bound=Callable[..., Any])
Fields = ParamSpec("Fields")
Made = TypeVar("Made")

PURE_VARIABLE: Final = "PHOENIX_PURE_PYTHON"
INTERFACE: Final = 1
"""What kernels take and give. It grows with every change of that, here and in kernels.h: an extension that
was built for another one is left alone, because it would fail or, worse, give what is not expected."""

if TYPE_CHECKING:
    from node.native import _kernels
else:
    try:
        from node.native import _kernels
    except ImportError:
        _kernels = None


def _is_pure() -> bool:
    return os.environ.get(PURE_VARIABLE, "") not in ("", "0")


def in_words() -> str:
    """Which form is in use, and why."""
    if kernels is not None:
        return "C"
    if _is_pure():
        return f"Python ({PURE_VARIABLE} is set)"
    built = "was not built" if _kernels is None else "was built for other code: install the package again"
    return f"Python (the extension {built})"


def has(name: str) -> bool:
    """Whether there is a kernel of this name: some need what not every machine has."""
    module: ModuleType | None = kernels
    return hasattr(module, name)


def kernel_or(in_python: Form, name: str) -> Form:
    """The kernel of this name where there is one."""
    found: Form = getattr(kernels, name, in_python)
    return found


kernels = None if _is_pure() or getattr(_kernels, "INTERFACE", None) != INTERFACE else _kernels
"""The extension; None where Python does the work."""


def maker(cls: Callable[Fields, Made], *, collected: bool = True) -> Callable[Fields, Made]:
    """What makes objects of a class, in a third of the time; the fields are given in order, not by name.

    The class is one of named tuples without defaults, or a dataclass with slots whose __init__ only takes its
    fields. Not `collected`: nothing that is given to such an object ever leads to one of its class, and the
    garbage collector is not told of it.
    """
    if kernels is None:
        return cls
    names: tuple[str, ...] = getattr(cls, "_fields", ())
    values: list[Any] = []
    if is_dataclass(cls):
        each = fields(cls)
        names = tuple(field.name for field in each)
        values = [field.default_factory if field.default is MISSING else field.default for field in each]
    defaults = tuple(value for value in values if value is not MISSING)
    made: Callable[Fields, Made] = kernels.maker(cls, names, defaults, collected)
    return made
