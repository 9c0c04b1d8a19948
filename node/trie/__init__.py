"""The Merkle-Patricia trie (Yellow Paper, appendix D) as functions over a node reader.

Nodes are kept by path, not by hash: the row at a path is the RLP of the node there, and an update overwrites
it in place, so no node is counted, shared or left behind. A path is a string of hex digits, one per nibble;
the root is at "". Nodes shorter than 32 bytes stand inside their parent, as the Yellow Paper has it, and have
no row; the root has one whatever its size. An empty trie has no rows.

Callers give a reader that answers for one fixed state, and apply all rows of an update together.
"""
