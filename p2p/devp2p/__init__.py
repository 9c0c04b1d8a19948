"""What every devp2p session speaks before and beside its capabilities: hello, disconnect, ping (rlpx.md).

Capabilities are data: name, version and how many message ids they take. Both sides sort what they share by
name and count ids from 16 on, so that nothing about offsets has to be said on the wire.
"""
