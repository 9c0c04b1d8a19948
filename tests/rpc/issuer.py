"""A token issuer as a process of its own: signs, publishes its keys, rotates them.

python -m tests.rpc.issuer        prints its port; then one command per line on standard input
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://id.example/realms/sankofa"
AUDIENCE = "phoenix-ledger"


def new_private_key(algorithm: str) -> Any:
    """A key for the algorithm."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    """What a JWKS says of it."""
    kinds = {
        "RS256": jwt.algorithms.RSAAlgorithm,
        "ES256": jwt.algorithms.ECAlgorithm,
        "EdDSA": jwt.algorithms.OKPAlgorithm,
    }
    made: dict[str, Any] = json.loads(kinds[algorithm].to_jwk(key.public_key()))
    return made | {"kid": kid, "use": "sig", "alg": algorithm}


def claims(subject: str = "alice", roles: tuple[str, ...] = ("phoenix-reader",), **changes: Any) -> dict:
    """Claims as Keycloak writes them; None leaves one out."""
    now = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "exp": now + 300,
        "realm_access": {"roles": ["offline_access", *roles]},
    } | changes
    return {name: value for name, value in made.items() if value is not None}


class _Issuer:
    def __init__(self) -> None:
        self.keys: dict[str, tuple[Any, str]] = {}
        self.fetches = 0
        self.pages = {
            "/jwks": self.jwks,
            "/huge": lambda: b"[" + b" " * (1 << 20) + b"]",
            "/bad": lambda: b"{",
        }

    def jwks(self) -> bytes:
        self.fetches += 1
        listed = [public_jwk(key, kid, algorithm) for kid, (key, algorithm) in self.keys.items()]
        return json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "hmac"}, *listed]}).encode()

    def command(self, order: dict[str, Any]) -> Any:
        match order["do"]:
            case "add":
                self.keys[order["kid"]] = (new_private_key(order["algorithm"]), order["algorithm"])
            case "drop":
                del self.keys[order["kid"]]
            case "sign":
                key, algorithm = self.keys[order["kid"]]
                return jwt.encode(order["claims"], key, algorithm, headers={"kid": order["kid"]})
            case "fetches":
                return self.fetches
        return None


def main() -> None:
    """Serve until standard input ends."""
    issuer = _Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "/jwks")
                self.end_headers()
                return
            body = issuer.pages[self.path]()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(issuer.command(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
