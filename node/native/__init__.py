"""Leaf work in C, where a compiler was there when the package was installed; in Python everywhere else.

`kernels` is the extension, or None. Whoever has a kernel to use keeps the same in Python beside it, and both
are held to be equal by tests. Nothing but speed depends on which one runs. Kernels take bytes and give bytes,
check every length themselves, and let go of the interpreter lock where they take long. Two work on Python's
objects: `storage.c` on the slots of the executor's world, `interpret.c` on its cold code.

`PHOENIX_PURE_PYTHON=1` in the environment leaves them out: for tests, and to rule them out as a cause.
"""

import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

Form = TypeVar("Form", bound=Callable[..., Any])

PURE_VARIABLE: Final = "PHOENIX_PURE_PYTHON"

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
    return f"Python ({PURE_VARIABLE} is set)" if _is_pure() else "Python (the extension was not built)"


def has(name: str) -> bool:
    """Whether there is a kernel of this name: some need what not every machine has."""
    module: ModuleType | None = kernels
    return hasattr(module, name)


def kernel_or(in_python: Form, name: str) -> Form:
    """The kernel of this name where there is one (an extension that was built earlier may lack it)."""
    found: Form = getattr(kernels, name, in_python)
    return found


kernels = None if _is_pure() else _kernels
"""The extension; None where Python does the work."""

named: Callable[..., Any] = kernel_or(tuple.__new__, "named")
"""A named tuple by its class and a tuple of its items, without the function in Python that the class is."""
