"""The audit log: what it promises its callers, and every kind of tampering."""
