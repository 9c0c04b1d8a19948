"""A key that another process holds: asks it for seals, over mutual TLS, in the dialect of Web3Signer or clef.

The signer receives the whole header and may refuse it; its words are passed on. When a connection breaks the
same request is sent again on a new one: a signer with a guard gives the same signature again. The signature
is brought into our form here (s lowered, parity 0 or 1) and checked by the guard, as every key's is.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from node.config.settings import SigningSettings
from node.primitives.crypto import SECP256K1_HALF_N, SECP256K1_N, address_of
from node.primitives.ids import Address, hex_of
from node.signing.clique_payload import encode_unsealed
from node.signing.remote_http import SignerConnection, Unreachable, open_connection
from node.signing.signer import LeasedElsewhere, RefusedElsewhere, SigningError, SigningRequest

CLIQUE_CONTENT_TYPE: Final = "application/x-clique-header"
CLEF_GUARD_REFUSAL: Final = -32_001
CLEF_LEASED: Final = -32_002
"""How our signer tells its refusals apart in clef's dialect; clef has only -32000."""
HOLDER_HEADER: Final = "x-phoenix-holder"
"""Which guard asks, in hex: our signer leases a key to one at a time. Others take no notice."""


class RemoteKey:
    """A DigestSigner whose key is elsewhere."""

    is_elsewhere = True

    def __init__(self, connection: SignerConnection, dialect: str, address: Address) -> None:
        """Does not connect."""
        self._connection = connection
        self._clef = dialect == "clef"
        self._address = address
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
        headers = {HOLDER_HEADER: request.holder.hex()} if request.holder else {}
        try:
            text = self._by_clef(data, headers) if self._clef else self._by_web3signer(data, headers)
        except Unreachable as error:
            raise SigningError(f"the signer {self._connection.url} cannot be reached: {error}") from error
        return _our_form(text)

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._connection.close()

    # --- dialects

    def _by_web3signer(self, data: str, headers: Mapping[str, str]) -> str:
        if self._name is None:
            self._name = self._find_name()
        path = f"/api/v1/eth1/sign/{self._name}"
        status, body = self._connection.ask("POST", path, {"data": data}, headers)
        if status != HTTPStatus.OK:
            raise self._refusal(status, body[:500], _BY_STATUS.get(status, SigningError))
        return body.strip()

    def _find_name(self) -> str:
        """Web3Signer knows keys by their public half."""
        status, body = self._connection.ask("GET", "/api/v1/eth1/publicKeys")
        names = _parsed(body) if status == HTTPStatus.OK else None
        for name in names if isinstance(names, list) else []:
            if isinstance(name, str) and _address_of(name) == self._address:
                return name
        raise SigningError(
            f"the signer {self._connection.url} has no key of {hex_of(self._address)} for us ({status})"
        )

    def _by_clef(self, data: str, headers: Mapping[str, str]) -> str:
        parameters = [CLIQUE_CONTENT_TYPE, hex_of(self._address), data]
        call = {"jsonrpc": "2.0", "id": 1, "method": "account_signData", "params": parameters}
        status, body = self._connection.ask("POST", "/", call, headers)
        answer = _parsed(body)
        if isinstance(answer, dict) and isinstance(answer.get("result"), str):
            return str(answer["result"])
        words = answer.get("error") if isinstance(answer, dict) else body[:500]
        code = words.get("code") if isinstance(words, dict) else None
        raise self._refusal(status, str(words), _BY_CODE.get(code, SigningError))

    def _refusal(self, status: int, words: str, kind: type[SigningError]) -> SigningError:
        return kind(f"the signer {self._connection.url} refuses ({status}): {words}")


_BY_STATUS: Final[Mapping[int, type[SigningError]]] = {
    HTTPStatus.PRECONDITION_FAILED: RefusedElsewhere,
    HTTPStatus.LOCKED: LeasedElsewhere,
}
_BY_CODE: Final[Mapping[object, type[SigningError]]] = {
    CLEF_GUARD_REFUSAL: RefusedElsewhere,
    CLEF_LEASED: LeasedElsewhere,
}


def open_remote(settings: SigningSettings) -> RemoteKey:
    """The key that the settings name; ConfigError when the TLS files do not fit."""
    assert settings.remote_address is not None, "the settings were checked"
    address = Address(bytes.fromhex(settings.remote_address[2:]))
    return RemoteKey(open_connection(settings), settings.remote_dialect, address)


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
