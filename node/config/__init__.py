"""What an operator may choose: `settings` is the vocabulary, `load` reads it from file, variables and flags.

`checks` says what settings must satisfy together. A part of the program receives its own section only, never
the whole.
"""
