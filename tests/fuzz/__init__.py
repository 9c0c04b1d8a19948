"""Decoders of bytes from strangers against noise: drawn by hypothesis, and guided by coverage (atheris)."""
