"""The encrypted channel of devp2p (ethereum/devp2p rlpx.md): sans-IO, no clock, no chance of its own.

Duties of the caller:
1. Entropy is an argument; it must be a cryptographic source, never used for two sessions alike.
2. Whatever `Session.bytes_to_send` holds is written before anything else.
3. Any ChainError ends the session: nothing that follows on the stream can be read.
4. `Session.frame_bytes_max` is kept low until the peer has said who it is.
"""
