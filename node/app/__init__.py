"""Composition root: Settings -> a running node. The only place where parts meet.

    run       which kind of node the settings ask for
    parts     open databases, chain, pool, keys: each may refuse before anything is visible outside
    serve     each service a task of one nursery: an error in any ends all
    identity  the node's key
    network   our place among the peers, whom we let in, what is said of them
    replica   the index beside a replica's chain
    archive   the files that an archive node writes
    offline   the chain of a node that does not run
    light     the same for a light client, which has hardly a part in common with the others
    observe   what operators see of it all

Closing runs when all tasks are gone: state up to the head, journal, databases. A full node has everything but
production and signing; a validator has all.
"""
