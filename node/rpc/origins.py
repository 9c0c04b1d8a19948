"""Who may ask, as far as a browser says it: names of hosts (DNS rebinding) and origins of pages (CORS)."""

import ipaddress
from http import HTTPStatus

from node.config.settings import RpcSettings
from node.rpc.http1 import HttpError, Request


class Origins:
    """The hosts and origins that one server's settings allow."""

    def __init__(self, settings: RpcSettings) -> None:
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._origins = frozenset(settings.cors_origins)
        self._known_hosts: set[bytes] = set()

    def check_host(self, host: bytes) -> None:
        """Refuse names that are not listed; browsers always send one. Good ones are remembered."""
        if not host or host in self._known_hosts:
            return
        name = _host_name(host)
        if not ("*" in self._hosts or name in self._hosts or _is_address(name)):
            text = f"host {name!r} is not allowed; add it to the setting rpc.allowed_hosts"
            raise HttpError(HTTPStatus.FORBIDDEN, text)
        if len(self._known_hosts) < 1024:
            self._known_hosts.add(host)

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may read answers and open WebSockets."""
        return "*" in self._origins or origin.decode("ascii", "replace") in self._origins

    def cors_headers(self, request: Request) -> bytes:
        """What a browser is told of it, as whole lines."""
        origin = request.headers.get(b"origin")
        if origin is None or not self.allows(origin):
            return b""
        lines = b"access-control-allow-origin: %b\r\nvary: origin\r\n" % origin
        if b"access-control-request-method" in request.headers:
            lines += b"access-control-allow-methods: POST\r\naccess-control-max-age: 600\r\n"
            wanted = request.headers.get(b"access-control-request-headers")
            if wanted is not None:
                lines += b"access-control-allow-headers: %b\r\n" % wanted
        return lines


def _host_name(host: bytes) -> str:
    """The Host header without its port, in lower case; an IPv6 address in its brackets."""
    text = host.decode("ascii", "replace").strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
