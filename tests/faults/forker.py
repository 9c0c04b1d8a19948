"""Starts nodes by fork from a process that has imported the node already: `python -m tests.faults.forker`.

A line of JSON in, {"config": PATH, "log": PATH}; a line out, the pid. What runs is `phoenix run`, in a
process and a session of its own; only the seconds of imports at each start are spared. Ends with its input.
"""

import importlib
import json
import os
import pkgutil
import signal
import sys
from contextlib import suppress

import consensus
import node
import p2p
from node.cli.entry import main


def import_everything() -> None:
    """All that a node may import once it runs: it imports most of itself as late as it can."""
    for package in (node, consensus, p2p):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                with suppress(ImportError):  # an optional library is not there
                    importlib.import_module(module.name)


def run_node(config: str, log: str) -> int:
    """In the child: be a node and nothing else."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(output, stream)
    return main(["run", "--config", config])


def serve() -> None:
    """One fork per line."""
    import_everything()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries our children
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(run_node(order["config"], order["log"]))
        print(pid, flush=True)


if __name__ == "__main__":
    serve()
