"""Consensus stories as text: what happens to an engine, and everything it asks for in return.

A file is a story: comments, and steps. A step is one command, a line `----`, and the full trace expected:

    4.000 head
    ----
    set timer "build on #2 0x1234abcd" at 5.000

Times are seconds since genesis. `PHOENIX_REWRITE_SCENARIOS=1` writes what happens now in place of what is
expected; commit only those differences that you can explain. The commands are listed in `clique`.
"""
