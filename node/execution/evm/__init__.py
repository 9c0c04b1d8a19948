"""The fast executor: EVM bytecode, basic block by basic block, becomes Python functions.

Read in this order: `opcodes` (the instruction set as data), `blocks` (bytecode -> basic blocks), `translate`
(a block -> Python source, by `writer` and what `memory` knows), `program` (cold blocks are interpreted, hot
ones compiled), `frame` and `operations` (what generated code calls), `messages` (calls and creations),
`machine` (the loop), `world` (the state of a block in the making), `session` (the executor port).

A message call never recurses in Python: frames stand on a list, so the depth limit is the EVM's own.
Supported rules: Byzantium and later; earlier forks and traced executions go to the reference executor.
"""
