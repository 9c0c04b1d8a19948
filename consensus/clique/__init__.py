"""Clique, proof of authority by turns (EIP-225), complete: what a header must be, and when to make one.

`extra_data`  vanity, signer list and seal inside a header's extra data; the hash a seal signs
`snapshot`    what the past means for the next header: signers, who signed recently, votes
`rules`       the snapshot after a header, or why the header is refused
`engine`      in turn: sign at the slot; out of turn: wait, then sign; never twice in a window

Where this node goes beyond EIP-225 and geth is said where it happens: late building and the head start of the
signer in turn (engine), proposals that outlive restarts and reorganisations (proposals).
"""
