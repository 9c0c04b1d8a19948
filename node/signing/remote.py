"""A key that another process holds: asks it for seals, over mutual TLS, in the dialect of Web3Signer or clef.

The signer receives the whole header and may refuse it; its words are passed on. When a connection breaks the
same request is sent again on a new one: a signer with a guard gives the same signature again. The signature
is brought into our form here (s lowered, parity 0 or 1) and checked by the guard, as every key's is.
"""

import http.client
import json
import ssl
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from node.config.settings import SigningSettings
from node.primitives.crypto import SECP256K1_HALF_N, SECP256K1_N, address_of
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.signing.clique_payload import encode_unsealed
from node.signing.signer import RefusedElsewhere, SigningError, SigningRequest

ANSWER_BYTES_MAX: Final = 64 * 1024
ATTEMPTS: Final = 2
"""A connection that idled too long is found broken only when it is used."""
CLIQUE_CONTENT_TYPE: Final = "application/x-clique-header"
CLEF_GUARD_REFUSAL: Final = -32_001
"""How our signer tells a refusal of its guard from others in clef's dialect; clef has only -32000."""


class Unreachable(Exception):
    """No answer from the signer; the text says why, as far as it is known."""


class RemoteKey:
    """A DigestSigner whose key is elsewhere."""

    is_elsewhere = True

    def __init__(
        self, url: str, dialect: str, address: Address, context: ssl.SSLContext | None, timeout_s: float
    ) -> None:
        """Does not connect. `context` is None for plain HTTP."""
        self._url = url
        self._clef = dialect == "clef"
        self._address = address
        self._context = context
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._name: str | None = None

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        return self._address

    def sign_digest(self, request: SigningRequest) -> bytes:
        """Have a header sealed; SigningError with the signer's words, or with why it cannot be reached."""
        if request.header is None:
            raise SigningError(f"a remote signer signs whole headers only, not {request.kind}")
        data = hex_of(encode_unsealed(request.header))
        try:
            text = self._by_clef(data) if self._clef else self._by_web3signer(data)
        except Unreachable as error:
            raise SigningError(
                f"the signer {self._url} cannot be reached: {error}; is it running?"
            ) from error
        return _our_form(text)

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._disconnect()

    # --- dialects

    def _by_web3signer(self, data: str) -> str:
        if self._name is None:
            self._name = self._find_name()
        status, body = self._ask("POST", f"/api/v1/eth1/sign/{self._name}", {"data": data})
        if status != HTTPStatus.OK:
            kind = RefusedElsewhere if status == HTTPStatus.PRECONDITION_FAILED else SigningError
            raise kind(f"the signer {self._url} refuses ({status}): {body[:500]}")
        return body.strip()

    def _find_name(self) -> str:
        """Web3Signer knows keys by their public half."""
        status, body = self._ask("GET", "/api/v1/eth1/publicKeys", None)
        names = _parsed(body) if status == HTTPStatus.OK else None
        for name in names if isinstance(names, list) else []:
            if isinstance(name, str) and _address_of(name) == self._address:
                return name
        raise SigningError(f"the signer {self._url} has no key of {hex_of(self._address)} for us ({status})")

    def _by_clef(self, data: str) -> str:
        parameters = [CLIQUE_CONTENT_TYPE, hex_of(self._address), data]
        call = {"jsonrpc": "2.0", "id": 1, "method": "account_signData", "params": parameters}
        status, body = self._ask("POST", "/", call)
        answer = _parsed(body)
        if isinstance(answer, dict) and isinstance(answer.get("result"), str):
            return str(answer["result"])
        words = answer.get("error") if isinstance(answer, dict) else body[:500]
        by_guard = isinstance(words, dict) and words.get("code") == CLEF_GUARD_REFUSAL
        kind = RefusedElsewhere if by_guard else SigningError
        raise kind(f"the signer {self._url} refuses ({status}): {words}")

    # --- HTTP

    def _ask(self, method: str, path: str, document: object) -> tuple[int, str]:
        body = None if document is None else json.dumps(document)
        headers = {} if body is None else {"content-type": "application/json"}
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                connection = self._connection or self._connect()
                self._connection = connection
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read(ANSWER_BYTES_MAX).decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                self._disconnect()
                reason = _reason(error)
                if isinstance(error, TimeoutError):
                    break  # it was given its time
        raise Unreachable(reason)

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        if self._context is None:
            return http.client.HTTPConnection(host, parts.port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(host, parts.port, timeout=self._timeout_s, context=self._context)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def open_remote(settings: SigningSettings) -> RemoteKey:
    """The key that the settings name; ConfigError when the TLS files do not fit."""
    assert settings.remote_url is not None, "the settings were checked"
    assert settings.remote_address is not None
    context = None
    if settings.remote_url.startswith("https:"):
        assert settings.remote_certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_cert_chain(settings.remote_certificate, settings.remote_key)
            context.load_verify_locations(settings.remote_ca)
        except OSError as error:
            raise ConfigError([f"the TLS files for the remote signer do not fit: {error}"]) from error
    address = Address(bytes.fromhex(settings.remote_address[2:]))
    return RemoteKey(settings.remote_url, settings.remote_dialect, address, context, settings.timeout_s)


def _our_form(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 65 or raw[64] not in (0, 1, 27, 28):
        raise SigningError(f"the signer gave no signature of 65 bytes: {text[:140]!r}")
    parity, s = raw[64] % 27, int.from_bytes(raw[32:64], "big")
    if s > SECP256K1_HALF_N:
        parity, s = parity ^ 1, SECP256K1_N - s
    return raw[:32] + s.to_bytes(32, "big") + bytes([parity])


def _address_of(name: str) -> Address | None:
    try:
        public_key = bytes.fromhex(name.removeprefix("0x"))
    except ValueError:
        return None
    return address_of(public_key[-64:]) if len(public_key) in (64, 65) else None


def _parsed(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted ({error.verify_message}); renew it, or mend signing.remote_ca"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason}); does it know our certificate, and is that still valid?"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
