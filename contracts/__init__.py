"""The Solidity suite and the Python that serves it. Empty until its first contract moves in."""
