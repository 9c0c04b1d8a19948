"""The audit log: what was done to this node and through it, by whom; a chain of records shows tampering.

    trail     the port that every part calls: `record`, `enter`, `note`
    records   one record as one line of canonical JSON that holds the hash of the one before (pure)
    folding   a stranger who repeats himself becomes a count, not a full disk (pure)
    files     the files: append, rotate, take up again after a crash
    log       the port over the files: one thread, one fsync for all that wait
    verify    every kind of tampering, named
    merkle, batches   what is anchored on the chain: a tree over batches of records (RFC 9162 over Keccak)

What is durable when: `record` returns after fsync, so an administrative action's answer is never seen before
its record is safe. `enter` and `note` are written at once, in order, and synced within a second. The disk is
bounded: when it is full, actions that need a record are refused with the reason, and what happens anyway is
counted and told in a record of its own (`log.gap`) as soon as there is room. Nothing is lost in silence.

Callers put no secret into a record: no key, password, token or signature.
"""
