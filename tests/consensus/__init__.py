"""Tests of the engines; `chains` makes the keys and headers that all of them use."""
