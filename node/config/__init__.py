"""What an operator may choose: `settings` is the vocabulary, `load` reads it from TOML, environment and flags.

A part of the program receives its own section only, never the whole.
"""
