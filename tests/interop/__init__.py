"""Other people's programs, at pinned versions, against ours. What is not there is skipped by name."""
