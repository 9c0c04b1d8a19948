"""Open a node, run it until it is cancelled, close it."""

import sys
from contextlib import AsyncExitStack
from typing import Final

import trio

from node.app.hangup import Hangup
from node.config.settings import Settings

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a worker thread keeps the interpreter while the event loop waits for it (CPython: 5 ms)."""


async def run_node(
    settings: Settings,
    hangup: Hangup = trio.sleep_forever,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Open a node, run it until cancelled, close it. Started once every port is bound.

    ConfigError, StorageError, OSError (a port that is taken) when it cannot be opened or goes on no longer.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    async with AsyncExitStack() as closing:
        # Each imported only by who runs it: what a light client does without takes half its memory.
        if settings.role == "light":
            from node.app.light import run_light

            await run_light(settings, closing, hangup, task_status)
            return
        from node.app.memory import return_large_pieces
        from node.app.parts import open_node
        from node.app.serve import serve_node

        return_large_pieces()
        node = await open_node(settings, closing, hangup)
        await serve_node(node, task_status)
