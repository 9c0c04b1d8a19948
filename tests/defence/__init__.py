"""Attacks on live nodes: real processes, real sockets; what goes on meanwhile, and what it costs."""
