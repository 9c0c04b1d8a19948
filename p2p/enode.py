"""enode URLs: a node's identity and where to reach it (ethereum/devp2p enode.md); host names allowed."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

import coincurve

from node.primitives.errors import RequestError

_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
HOST_NAME_CHARACTERS_MAX: Final = 253
PORT_MAX: Final = 65535


class InvalidEnode(RequestError):
    """A text that is no enode URL; says why. Whoever wrote it, an operator or a client, must correct it."""


@dataclass(frozen=True, slots=True)
class Enode:
    """A node: the key is its identity; host and ports are where to look for it."""

    public_key: bytes
    """64 bytes."""
    host: str | None
    """IP address or host name; None when the URL does not say."""
    tcp_port: int = 0
    udp_port: int = 0
    """Of discovery; the TCP port when the URL does not say."""

    def __str__(self) -> str:
        if self.host is None:
            return f"enode://{self.public_key.hex()}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        discovery = f"?discport={self.udp_port}" if self.udp_port != self.tcp_port else ""
        return f"enode://{self.public_key.hex()}@{host}:{self.tcp_port}{discovery}"


def parse_enode(url: str) -> Enode:
    """The node that a URL names; InvalidEnode with the reason otherwise."""
    if url.startswith("enr:"):
        raise InvalidEnode("a node record (enr:) where an enode URL is expected")
    if not url.startswith("enode://"):
        raise InvalidEnode("it does not start with enode://")
    # urlsplit drops line breaks and tabs without a word.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidEnode("it holds blanks or characters outside ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidEnode(f"no valid host and port: {error}") from error
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidEnode("something follows the port")
    key_text, at, _ = parts.netloc.rpartition("@")
    if not at:
        return Enode(_public_key(parts.netloc), None)
    if parts.hostname is None or port is None:
        raise InvalidEnode("host or port is missing")
    return Enode(_public_key(key_text), _host(parts.hostname), port, _discovery_port(parts.query, port))


def parse_dialable(url: str) -> Enode:
    """The same, for a node that is to be dialled: without host and port it is InvalidEnode."""
    enode = parse_enode(url)
    if enode.host is None or enode.tcp_port == 0:
        raise InvalidEnode("without host and port it cannot be dialled")
    return enode


def _public_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidEnode("the node id is not hexadecimal") from error
    if len(key) != 64:
        raise InvalidEnode(f"a node id of {len(key)} bytes; it has 64 (128 hexadecimal digits)")
    try:
        coincurve.PublicKey(b"\x04" + key)
    except ValueError as error:
        raise InvalidEnode("the node id is no point of the curve, so nobody has its key") from error
    return key


def _host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    if len(host) > HOST_NAME_CHARACTERS_MAX or not _HOST_NAME.fullmatch(host):
        raise InvalidEnode(f"{host!r} is neither an address nor a host name")
    labels = host.rstrip(".").split(".")
    if labels[-1].isdecimal():
        raise InvalidEnode(f"{host!r} looks like an address but is none")
    if labels[-1].lower() == "invalid":
        raise InvalidEnode(f"{host!r} never resolves (RFC 6761)")
    return host


def _discovery_port(query: str, tcp_port: int) -> int:
    ports = parse_qs(query, keep_blank_values=True).get("discport")
    if ports is None:
        return tcp_port
    if len(ports) != 1 or not re.fullmatch("[0-9]{1,5}", ports[0]) or int(ports[0]) > PORT_MAX:
        raise InvalidEnode("discport is not a port number")
    return int(ports[0])
