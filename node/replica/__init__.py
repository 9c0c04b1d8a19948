"""Reads for many clients: an index of what happened on the chain, in SQL, and typed queries over it.

A replica is a full node that seals nothing and keeps a second database beside the chain's own: who did what
in which block, by account, address, topic and contract, and the domain events of our contracts as plain
tables. All of it follows from the chain, so it may be thrown away and made again.

    tables      every table, on one page; what its values are in SQLite and in PostgreSQL
    events      an ABI's events -> tables and typed rows
    lifecycle   pure: which event puts an invoice, an allocation, ... into which state
    indexes     pure: block + receipts + moves -> rows
    registry    which address is which contract of ours, as the chain itself says
    database    the port: transactions for one writer, snapshots for many readers (sqlite, postgres)
    writer      rows and checkpoint in one SQL transaction; unwinds what is no longer canonical
    indexer     the task that follows the head
    queries     paged look-ups with cursors

Duties: the chain writes a block durably before the indexer sees it, so the index is never ahead of the chain
but after a loss of the chain's own data, and then it unwinds. One writer at a time. Numbers that may pass 63
bits are exact: NUMERIC in PostgreSQL, digits of fixed width in SQLite, which sort as numbers do.
"""
