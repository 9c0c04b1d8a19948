"""Tests of the JSON-RPC part, and the small world they share."""
