"""The long-term archive: finished blocks and receipts in files that can be trusted without trusting anybody.

    e2store    entries and their compression, the container of era1 files
    era1       one file: blocks, receipts, total difficulties, accumulator, index (the format geth reads)
    manifest   what a file holds, with checksum, accumulator and signature
    verify     proves a file: its own roots and seals, and against a chain or a trusted hash
    blocks     a chain into files, and files into a chain through the one door
    files      a directory of archived files, in which nothing half-written ever has a final name
    objects    the same in an S3-compatible store
    log        the tree of file hashes that the AuditLog contract anchors
    anchor     puts each finished file's hash on the chain
    writer     does all that continuously, beside a running node

Two archives of one chain write the same bytes, so their checksums can be compared. Callers: `verify` and
`era1` are pure and bounded by the size of the file; what reads or writes disks and stores blocks, and belongs
in a worker thread.
"""
