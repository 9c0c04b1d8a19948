"""Tests of the contract suite, on a chain in this process."""
