"""The `phoenix` command: one file per command, each of which parses, calls one part of the node, and prints.

No rule of the node lives here. A command imports what it needs when it runs, so that `phoenix --help` does
not wait for an EVM. Errors leave as the root types of node.primitives.errors; `entry` turns them into words
on standard error and an exit code.
"""
