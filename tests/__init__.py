"""Mirrors the code, one file per module. `python -m tests` is the one entry point; see `__main__`."""
