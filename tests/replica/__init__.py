"""The index and the queries of a read replica, on both databases."""
