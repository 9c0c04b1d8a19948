"""Whole nodes as real processes, hurt while they work, judged from outside by a model of their chain.

live      a network below a temporary directory; processes that can be killed; announcements heard
forker    starts nodes by fork, so that hundreds of them can be killed in minutes
model     what the chain must hold, by py-trie and arithmetic; it uses nothing of `node`
traffic   signed transactions flowing into a node, and what it said of each
"""
