"""What the tests of execution share: official state tests through the executor port, and small worlds."""
