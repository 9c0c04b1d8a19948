"""What stands behind the RPC: the ports of `node.rpc.backend`, implemented over the parts of a node.

One module per kind of node. Here only the full one: chain, state, execution, pool, peers and engine of this
process. The adapters hold no rule and keep no state of their own but for the view of the head.
"""
