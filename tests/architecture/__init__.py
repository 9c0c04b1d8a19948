"""The map equals the disk; sizes; leftovers: the rules of the house, checked by machine."""
