"""What stands in for nodes where a test is about devnet itself: a process, and answers to JSON-RPC."""
