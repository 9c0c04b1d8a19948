"""web3_: which program this is, and keccak for those who have none."""

from node.primitives.crypto import keccak256
from node.primitives.ids import hex_of
from node.rpc.method import Method
from node.rpc.params import Param, read_data


def methods(client_version: str) -> list[Method]:
    """web3_clientVersion, web3_sha3."""
    return [
        Method("web3_clientVersion", lambda: client_version),
        Method("web3_sha3", lambda data: hex_of(keccak256(data)), (Param(read_data),)),
    ]
