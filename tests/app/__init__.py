"""Whole nodes in this process, as the composition root makes them."""
