"""`python -m node` and the console script `phoenix`."""

import sys

from node.cli.entry import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
