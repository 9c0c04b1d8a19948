"""The vocabulary of the chain: values, their encodings and their hashes.

Imports nothing of ours and does nothing: no clock, no disk, no socket, no log. Everything above may use it.
Callers never mutate a value; a changed value is a new one.
"""
