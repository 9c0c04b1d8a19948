"""The light client: keeps headers, believes nothing, proves every answer.

    verifier    pure: trusted header + new headers -> verdict; which header a run of seals attests
    reads       pure: claim + proof -> value
    checkpoint  what is trusted to begin with, as a file
    trust       verified headers at rest
    chain       verified headers at hand: branches, votes of upstreams, which head is shown
    http · json_rpc · provider    one connection · calls over it, bounded · one upstream's claims
    upstreams   several of them: the best is asked first, one that lies never again
    catch_up    from the trusted header to an upstream's head
    view        the state under a proved root, fetched when it is read
    reader      the reads that JSON-RPC is served from
    client      the trio side: follows heads
    bundle      a proof that needs no node: one file

What is trusted: the checkpoint (block 0 of genesis.json when the operator names no other), the rules of
Clique, and that of the validators at any time more than half are honest. No upstream is trusted: any of them
may lie, and with one honest one among them the client neither accepts a lie nor stands still.

Callers: everything but `client.LightClient.run` is synchronous and meant for worker threads.
"""
