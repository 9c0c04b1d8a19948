"""Networks of real processes on one machine, to develop against and to test from outside.

A manifest (`networks/*.toml`) says what a network is; `generate` writes its keys, genesis and settings
below a home directory (`.devnet/`); `launcher` runs each node as a process of its own, through the same
command line that an operator uses. Everything else looks at the nodes from outside, over JSON-RPC: `proof`
makes them do real work, `checks` compares them, `perturb` hurts them, `load` keeps them busy.

The keys follow from a seed in the manifest, so everybody knows them: never fund them anywhere else.
Linux only: processes are told apart by /proc.
"""
