"""The fast executor, held to the official answers and to the reference executor."""
