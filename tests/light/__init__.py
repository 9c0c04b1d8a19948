"""The light client against real nodes, made-up chains, and upstreams that lie."""
