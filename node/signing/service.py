"""The remote signer: who asks what, whether that key may sign it for them, and the answer in their dialect.

    GET  /upcheck                        OK                                              Web3Signer, eth1 mode
    GET  /api/v1/eth1/publicKeys         public keys that this client may use
    POST /api/v1/eth1/sign/{key}         {"data": RLP of the header without seal} -> r s v, v 27 or 28
    POST, DELETE /api/v1/phoenix/lease/{key}     take or prolong the lease of a key; give it back    our own
    GET  /healthcheck                    whether we are up, as JSON
    POST /                               JSON-RPC of clef: account_version, account_list, account_signData
                                         with application/x-clique-header (v 0 or 1), account_signTransaction;
                                         of Web3Signer: eth_accounts, eth_signTransaction

A signature is given for a whole header or transaction only, which is hashed here: there is no way to have a
bare hash signed. Which of them a key signs, and on which chain, is its policy; headers pass the guard. A
header says nothing of total difficulty: this guard always goes by height.
Every request for a signature leaves a line in the log and a record in the audit log, given or refused.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from consensus.clique.extra_data import seal_hash
from node.audit.records import Fact, Facts, Kind
from node.audit.trail import AuditTrail
from node.primitives.block import Header
from node.primitives.errors import ChainError
from node.primitives.ids import Address, hex_of
from node.primitives.transaction import decode_transaction
from node.signing.clique_payload import decode_unsealed, decode_with_or_without_seal
from node.signing.guard import GuardedSigner, GuardLocked, GuardRefusal
from node.signing.lease import HOLDER_BYTES_MAX, KeyLease, Leased
from node.signing.remote import CLEF_GUARD_REFUSAL, CLEF_LEASED
from node.signing.signer import SigningError, SigningRequest
from node.signing.transaction_draft import BadDraft, read_draft

CLIQUE_KIND: Final = "clique-header"
TRANSACTION_KIND: Final = "transaction"
CLIQUE_CONTENT_TYPE: Final = "application/x-clique-header"
SIGN_PATH: Final = "/api/v1/eth1/sign/"
LEASE_PATH: Final = "/api/v1/phoenix/lease/"
CLEF_VERSION: Final = "6.1.0"
"""Of clef's external interface, which clients look at."""

audit = logging.getLogger("node.signing.audit")


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key behind its guard, and its policy."""

    signer: GuardedSigner
    public_key: bytes
    chain_id: int
    clients: frozenset[str]
    kinds: frozenset[str]
    lease: KeyLease


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: whose certificate it is, and which guard of theirs."""

    name: str
    holder: str = ""
    """As the client calls it; empty when it does not."""

    def __str__(self) -> str:
        return f"{self.name}/{self.holder[:HOLDER_BYTES_MAX]}" if self.holder else self.name


@dataclass(frozen=True, slots=True)
class Answer:
    """Of HTTP, without its frame."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class Refused(Exception):
    """A request that is not granted, with the status for one dialect and the code for the other."""

    def __init__(self, status: HTTPStatus, code: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


_OUTCOMES: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.PRECONDITION_FAILED: "guard",
    HTTPStatus.LOCKED: "leased",
    HTTPStatus.INTERNAL_SERVER_ERROR: "failed",
}
"""Why there was no signature; "denied" otherwise: by policy, or it made no sense."""


class SigningService:
    """Keys, and who may use them."""

    def __init__(self, keys: Sequence[HeldKey], outcomes: "Counter[str]", trail: AuditTrail) -> None:
        """`outcomes`: counted there, for a metric."""
        self._outcomes = outcomes
        self._trail = trail
        self._keys: Mapping[Address, HeldKey] = {key.signer.address: key for key in keys}
        self._names = {hex_of(key.public_key): key for key in keys} | {
            hex_of(key.signer.address): key for key in keys
        }

    async def answer(self, client: Client, method: str, target: str, body: bytes) -> Answer:
        """One request of a client whose certificate is known. StorageError when the guard's disk fails."""
        match method, target:
            case "GET", "/upcheck":
                return Answer(HTTPStatus.OK, b"OK")
            case "GET", "/healthcheck":
                return _json({"status": "UP", "checks": [], "outcome": "UP"})
            case "GET", "/api/v1/eth1/publicKeys":
                return _json([hex_of(key.public_key) for key in self._of(client)])
            case "POST", "/":
                return await self._rpc(client, body)
            case "POST", _ if target.startswith(SIGN_PATH):
                return await self._web3signer(client, target.removeprefix(SIGN_PATH), body)
            case "POST" | "DELETE", _ if target.startswith(LEASE_PATH):
                return self._lease(client, target.removeprefix(LEASE_PATH), give_back=method == "DELETE")
            case _:
                return Answer(HTTPStatus.NOT_FOUND, b"there is no such thing here")

    def _of(self, client: Client) -> list[HeldKey]:
        return [key for key in self._keys.values() if client.name in key.clients]

    def _named(self, name: str) -> HeldKey | None:
        """By address or public key: as Web3Signer, in either case, with its prefix or without."""
        return self._names.get("0x" + name.lower().removeprefix("0x"))

    # --- the dialects

    async def _web3signer(self, client: Client, name: str, body: bytes) -> Answer:
        try:
            signature = await self._counted(
                self._sign(client, name, lambda: _header(decode_unsealed, _object(body).get("data")))
            )
        except Refused as refusal:
            return Answer(refusal.status, str(refusal).encode())
        text = hex_of(signature[:64] + bytes([signature[64] + 27]))
        return Answer(HTTPStatus.OK, text.encode())

    async def _rpc(self, client: Client, body: bytes) -> Answer:
        identifier: object = None
        try:
            call = _object(body)
            identifier = call.get("id")
            result = await self._call(client, call.get("method"), call.get("params", []))
        except Refused as refusal:
            error = {"code": refusal.code, "message": str(refusal)}
            return _json({"jsonrpc": "2.0", "id": identifier, "error": error})
        return _json({"jsonrpc": "2.0", "id": identifier, "result": result})

    async def _call(self, client: Client, method: object, parameters: object) -> object:
        match method, parameters:
            case "account_version", _:
                return CLEF_VERSION
            case "account_signTransaction", [dict(fields), *_]:
                raw = await self._counted(self._sign_transaction(client, fields))
                return {"raw": hex_of(raw), "tx": _transaction_json(raw)}
            case "eth_signTransaction", [dict(fields), *_]:
                return hex_of(await self._counted(self._sign_transaction(client, fields)))
            case "account_list" | "eth_accounts", _:
                return [hex_of(key.signer.address) for key in self._of(client)]
            case "account_signData", [str(content_type), str(address), str(data)]:
                if content_type != CLIQUE_CONTENT_TYPE:
                    raise _bad(
                        f"content type {content_type!r} is not signed here; only {CLIQUE_CONTENT_TYPE}"
                    )
                signing = self._sign(client, address, lambda: _header(decode_with_or_without_seal, data))
                return hex_of(await self._counted(signing))
            case "account_signData", _:
                raise _bad("account_signData takes content type, address and data")
            case _:
                self._refused(client, {"method": str(method)[:64]}, "there is no such method")
                raise Refused(HTTPStatus.NOT_FOUND, -32601, f"the method {method!r} does not exist")

    async def _counted(self, signing: Awaitable[bytes]) -> bytes:
        try:
            signature = await signing
        except Refused as refusal:
            self._outcomes[_OUTCOMES.get(refusal.status, "denied")] += 1
            raise
        self._outcomes["signed"] += 1
        return signature

    # --- the decision

    def _lease(self, client: Client, name: str, *, give_back: bool) -> Answer:
        key = self._named(name)
        if key is None or client.name not in key.clients:
            return Answer(HTTPStatus.NOT_FOUND, f"no key {name[:132]} that {client.name} may use".encode())
        if give_back:
            key.lease.give_back(str(client))
            audit.info("a lease was given back", extra={"client": str(client), "key": name[:132]})
            return _json({"holder": None})
        try:
            key.lease.take(str(client))
        except Leased as leased:
            return Answer(HTTPStatus.LOCKED, str(leased).encode())
        return _json({"holder": str(client), "seconds": key.lease.length_s})

    async def _sign_transaction(self, client: Client, fields: dict[str, Any]) -> bytes:
        name = str(fields.get("from"))
        told: dict[str, Fact] = {"key": name[:132], "what": TRANSACTION_KIND}
        key = self._allowed(client, name, TRANSACTION_KIND, told)
        try:
            draft = read_draft(fields, key.chain_id)
        except BadDraft as error:
            self._refused(client, told, "no transaction", str(error))
            raise _bad(str(error)) from error
        told |= {"to": hex_of(draft.to) if draft.to else None, "value": hex(draft.value)}
        told |= {"nonce": draft.nonce, "digest": hex_of(draft.digest)}
        request = SigningRequest(kind=TRANSACTION_KIND, chain_id=key.chain_id, height=0, digest=draft.digest)
        try:
            signature = await key.signer.sign_unwatched(request)
        except SigningError as error:
            self._refused(client, told, "the key did not sign", str(error))
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, -32000, str(error)) from error
        self._signed(client, told)
        return draft.signed(signature)

    async def _sign(self, client: Client, name: str, read: Callable[[], Header]) -> bytes:
        told: dict[str, Fact] = {"key": name[:132], "what": CLIQUE_KIND}
        try:
            header = read()
        except Refused as bad:
            self._refused(client, told, "no header", str(bad))
            raise
        digest = seal_hash(header)
        told |= {"height": header.number, "digest": hex_of(digest)}
        key = self._allowed(client, name, CLIQUE_KIND, told)
        try:
            key.lease.take(str(client))
        except Leased as leased:
            self._refused(client, told, "another has the lease")
            raise Refused(HTTPStatus.LOCKED, CLEF_LEASED, str(leased)) from leased
        request = SigningRequest(
            kind=CLIQUE_KIND, chain_id=key.chain_id, height=header.number, digest=digest, header=header
        )
        try:
            signature = await key.signer.sign(request)
        except (GuardRefusal, GuardLocked) as refusal:
            self._refused(client, told, "the guard refuses", str(refusal))
            raise Refused(HTTPStatus.PRECONDITION_FAILED, CLEF_GUARD_REFUSAL, str(refusal)) from refusal
        except SigningError as error:
            self._refused(client, told, "the key did not sign", str(error))
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, -32000, str(error)) from error
        self._signed(client, told)
        return signature

    def _allowed(self, client: Client, name: str, kind: str, told: Facts) -> HeldKey:
        key = self._named(name)
        if key is None or client.name not in key.clients:
            self._refused(client, told, "not a key of this client")
            raise Refused(HTTPStatus.NOT_FOUND, -32000, f"no key {name[:132]} that {client.name} may use")
        if kind not in key.kinds:
            self._refused(client, told, "the key does not sign this kind")
            raise Refused(HTTPStatus.FORBIDDEN, -32000, f"this key signs no {kind}")
        return key

    def _signed(self, client: Client, told: Facts) -> None:
        audit.info("signed", extra={"client": str(client), **told})
        self._trail.note(Kind.KEY_USED, f"client:{client}", told)

    def _refused(self, client: Client, told: Facts, reason: str, words: str = "") -> None:
        audit.warning("refused: %s", reason, extra={"client": str(client), "words": words, **told})
        said = f"{reason}: {words}" if words else reason
        self._trail.note(Kind.KEY_REFUSED, f"client:{client}", {**told, "reason": said})


def _header(decode: Callable[[bytes], Header], data: object) -> Header:
    try:
        return decode(_hex(data))
    except ChainError as error:
        raise _bad(f"data is no Clique header: {error}") from error


def _transaction_json(raw: bytes) -> dict[str, object]:
    """As clef shows what it signed."""
    tx = decode_transaction(raw)
    return {
        "nonce": hex(tx.nonce),
        "gasPrice": hex(tx.gas_price),
        "gas": hex(tx.gas_limit),
        "to": hex_of(tx.to) if tx.to else None,
        "value": hex(tx.value),
        "input": hex_of(tx.data),
        "v": hex(tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
        "hash": hex_of(tx.hash),
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _bad(f"not a JSON object: {error}") from error


def _hex(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError as error:
        raise _bad("data is not hex") from error


def _bad(text: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, -32602, text)


def _json(value: object) -> Answer:
    return Answer(HTTPStatus.OK, msgspec.json.encode(value), "application/json")
