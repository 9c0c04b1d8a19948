"""How deep Python calls may nest: what the EVM's 1024 levels of messages need, and not more.

Importing py_ecc sets the interpreter's limit to 100,000. With that, a text of nested brackets overflows the
C stack of whatever JSON decoder reads it; so each module here that imports py_ecc, or something that does,
calls `limit_recursion` after its imports.
"""

import sys
from typing import Final

RECURSION_LIMIT: Final = 12_288
"""Nine Python calls for each of 1024 levels, and room for whoever calls. They take no C stack, so any thread
may execute."""


def limit_recursion() -> None:
    """Set the interpreter's limit, up or down."""
    sys.setrecursionlimit(RECURSION_LIMIT)
