"""The `eth` protocol: blocks and transactions between nodes (ethereum/devp2p caps/eth.md).

Versions are data: a version is a row of codecs (`messages.ETH68`). Everything here is pure and strict: a
message is decoded whole within its bounds, or refused with a ChainError that says why. Large payloads cost
time to decode; callers that must not wait decode those in a worker thread (p2p.peer does).
"""
