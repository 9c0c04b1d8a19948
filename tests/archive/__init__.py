"""The long-term archive."""
