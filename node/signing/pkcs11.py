"""Validator keys in a hardware token, through PKCS#11: the secret is made there and never leaves.

The key is a secp256k1 pair whose private half is sensitive and not extractable. CKM_ECDSA gives r and s over
any digest (tokens do not check its length, and half of the signatures are high-s): the length is checked
here, s is lowered, and the recovery bit found by trying both.

python-pkcs11 initialises the module without locks and releases the interpreter's: two threads in one module
crash the process. All calls go through `one_thread`, which also bounds how long a hung token is waited for.

A token that was pulled out and comes back is logged into again. A PIN that was refused is never tried twice:
most tokens lock after a few.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from node.primitives.crypto import (
    SECP256K1_HALF_N,
    SECP256K1_N,
    InvalidSignature,
    address_of,
    recover_public_key,
)
from node.primitives.ids import Address, Hash32
from node.signing.keystore import KeyStoreError
from node.signing.one_thread import NoAnswer, thread_of
from node.signing.signer import SigningError, SigningRequest

if TYPE_CHECKING:
    import pkcs11
    from pkcs11._pkcs11 import lib as Library

SECP256K1_PARAMETERS: Final = bytes.fromhex("06052b8104000a")
"""DER of the object identifier 1.3.132.0.10 (SEC 2)."""
POINT_PREFIX: Final = b"\x04\x41\x04"
"""CKA_EC_POINT is an OCTET STRING of 65 bytes, of which the first says that the point is not compressed."""
OPEN_TIMEOUT_S: Final = 30.0
"""Loading a module and logging in may wait for a network HSM."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TokenKeyName:
    """Where a key is: module file, label of the token, label of the key in it."""

    module: Path
    token: str
    key: str

    def __str__(self) -> str:
        return f"key {self.key!r} in token {self.token!r}"


class _Private(Protocol):
    """A private key in an open session; which of them can sign the library only knows at run time."""

    @property
    def session(self) -> "pkcs11.Session": ...

    def sign(self, data: bytes, *, mechanism: Any) -> bytes: ...


class TokenKey:
    """A DigestSigner whose key is in a token."""

    is_elsewhere = True

    def __init__(self, name: TokenKeyName, pin: str, timeout_s: float, known: bytes | None = None) -> None:
        """Log in and find the key; KeyStoreError says what is wrong and what to do.

        Where its public half is `known` from before, that is no error but our `problem`: each signature
        looks for the token again. A PIN that was refused is not tried again, in this process: whoever starts
        it again and again after such an error would lock the token.
        """
        self._name = name
        self._pin: str | None = pin
        self._timeout_s = timeout_s
        self._thread = thread_of(str(name.module))
        self._private: _Private | None = None
        self.problem: str | None = None
        """Why nothing can be signed, as far as is known; None when all is well."""
        try:
            self._public_key = self._open_in_time()
        except KeyStoreError as error:
            if known is None:
                raise
            self.problem = "; ".join(error.problems)
            log.error("nothing is signed with a key until its token is back: %s", self.problem)
            self._public_key = known
        self._address = address_of(self._public_key)

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        return self._address

    @property
    def public_key(self) -> bytes:
        """64 bytes, without the prefix 04."""
        return self._public_key

    def sign_digest(self, request: SigningRequest) -> bytes:
        """A low-s signature with its recovery bit; SigningError when the token gives none in time."""
        if len(request.digest) != 32:
            raise SigningError(f"a digest of {len(request.digest)} bytes; a token would sign even that")
        raw = self._run(partial(self._sign, request.digest))
        return recoverable(request.digest, raw, self._public_key)

    def look_again(self) -> None:
        """Where there is a `problem`: whether it is over. Nothing is signed, no refused PIN tried again."""
        if self.problem is not None and self._pin is not None:
            with suppress(SigningError):
                self._run(self._find_again)

    def close(self) -> None:
        """Log out; the key cannot be used any more."""
        self._pin = None
        try:
            self._thread.run(self._close, self._timeout_s)
        except NoAnswer:
            log.warning("a token did not answer when it was closed", extra={"key": str(self._name)})

    def _run(self, work: Callable[[], Result]) -> Result:
        """On the module's thread; SigningError when that fails, which is our problem until it works again."""
        try:
            result = self._thread.run(work, self._timeout_s)
        except NoAnswer as error:
            self.problem = (
                f"{self._name}: {error}; the token hangs or is overloaded: look at it, then restart the node "
                "if it does not come back"
            )
            raise SigningError(self.problem) from error
        except KeyStoreError as error:
            self.problem = "; ".join(error.problems)
            raise SigningError(self.problem) from error
        self.problem = None
        return result

    def _open_in_time(self) -> bytes:
        try:
            return self._thread.run(self._open, OPEN_TIMEOUT_S)
        except NoAnswer as error:
            raise KeyStoreError(
                f"{self._name}: the token gives {error}; is it connected and awake?"
            ) from error

    # --- on the module's own thread

    def _sign(self, digest: Hash32) -> bytes:
        import pkcs11

        if self._private is not None:
            try:
                return bytes(self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
            except pkcs11.PKCS11Error as error:
                log.warning("a token failed; logging in again", extra={"key": str(self._name)})
                log.debug("the token said %s", _words(error))
                self._close()
        self._find_again()
        assert self._private is not None
        with explained(self._name):
            return bytes(self._private.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))

    def _find_again(self) -> None:
        if self._private is None and self._open() != self._public_key:
            self._close()
            raise KeyStoreError(f"{self._name}: there is now another key under this name; it is not used")

    def _open(self) -> bytes:
        """The public key, 64 bytes; the private one is ready then."""
        if self._pin is None:
            raise KeyStoreError(
                f"{self._name}: its PIN was refused and is not tried again; restart with another"
            )
        try:
            session = open_session(self._name.module, self._name.token, self._pin)
        except WrongPin:
            self._pin = None
            raise
        try:
            with explained(self._name):
                self._private, public_key = _find(session, self._name)
        except KeyStoreError:
            session.close()
            raise
        return public_key

    def _close(self) -> None:
        private, self._private = self._private, None
        if private is not None:
            _close_quietly(private.session)


class WrongPin(KeyStoreError):
    """The token refused the PIN."""


def recoverable(digest: Hash32, raw: bytes, public_key: bytes) -> bytes:
    """65 bytes from the r and s of a token (64 bytes): s lowered, and the parity that gives the public key.

    SigningError when neither does: the token signed with another key, or not at all.
    """
    if len(raw) != 64:
        raise SigningError(f"the token gave {len(raw)} bytes where a signature has 64")
    s = int.from_bytes(raw[32:], "big")
    if s > SECP256K1_HALF_N:
        s = SECP256K1_N - s
    for parity in (b"\0", b"\1"):
        signature = raw[:32] + s.to_bytes(32, "big") + parity
        try:
            if recover_public_key(digest, signature) == public_key:
                return signature
        except InvalidSignature:
            continue  # no point of the curve has this x with this parity
    raise SigningError("the token signed with another key than the one it names")


def open_session(module: Path, token: str, pin: str, *, writable: bool = False) -> "pkcs11.Session":
    """A session that is logged in. Only on the module's own thread. KeyStoreError with what to do."""
    found = _token(_library(module), token)
    import pkcs11

    try:
        return found.open(rw=writable, user_pin=pin)
    except pkcs11.UserAlreadyLoggedIn:
        return found.open(rw=writable)  # a login is the process's, not the session's
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
        raise WrongPin(
            f"token {token!r}: wrong PIN; tokens lock after a few, so it is not tried again"
        ) from None
    except pkcs11.PinLocked:
        raise WrongPin(
            f"token {token!r}: its PIN is locked; the security officer must set a new one"
        ) from None
    except pkcs11.PKCS11Error as error:
        raise KeyStoreError(f"token {token!r}: cannot log in: {_words(error)}") from error


def _token(library: "Library", label: str) -> "pkcs11.Token":
    import pkcs11

    try:
        return library.get_token(token_label=label)
    except pkcs11.PKCS11Error as error:
        log.debug("a token was not found at once: %s", _words(error))
    try:
        # Many modules see what is plugged in only when they are initialised. It ends the sessions of other
        # keys in this process; they log in again by themselves.
        library.reinitialize()
        return library.get_token(token_label=label)
    except pkcs11.NoSuchToken:
        labels = sorted({each.label for each in library.get_tokens() if each.label})
        known = ", ".join(map(repr, labels)) or "none"
        raise KeyStoreError(f"there is no token {label!r}; is it plugged in? Tokens: {known}") from None
    except pkcs11.MultipleTokensReturned:
        raise KeyStoreError(f"several tokens are called {label!r}; give each a label of its own") from None
    except pkcs11.PKCS11Error as error:
        raise KeyStoreError(f"token {label!r} cannot be reached: {_words(error)}") from error


def _library(module: Path) -> "Library":
    try:
        import pkcs11
    except ImportError as error:
        raise KeyStoreError(
            "keys in tokens need python-pkcs11; install phoenix-ledger with the extra 'pkcs11'"
        ) from error
    if not module.is_file():
        raise KeyStoreError(
            f"{module}: no such PKCS#11 module; install the token's driver (SoftHSM: softhsm2)"
        )
    try:
        return pkcs11.lib(str(module))
    except (pkcs11.PKCS11Error, OSError) as error:
        raise KeyStoreError(
            f"{module}: cannot be loaded as a PKCS#11 module ({_words(error)}); is the token connected, and "
            "is this its driver?"
        ) from error


def _find(session: "pkcs11.Session", name: TokenKeyName) -> tuple[_Private, bytes]:
    import pkcs11

    private = _only(session, pkcs11.ObjectClass.PRIVATE_KEY, name)
    if private[pkcs11.Attribute.EXTRACTABLE] or not private[pkcs11.Attribute.SENSITIVE]:
        raise KeyStoreError(
            f"{name}: the key may leave the token; make one that may not (`phoenix token new`)"
        )
    public = _only(session, pkcs11.ObjectClass.PUBLIC_KEY, name)
    if bytes(public[pkcs11.Attribute.EC_PARAMS]) != SECP256K1_PARAMETERS:
        raise KeyStoreError(f"{name}: is a key of another curve than secp256k1")
    return cast("_Private", private), public_key_of(public)


def public_key_of(public: "pkcs11.Object") -> bytes:
    """64 bytes; KeyStoreError when the token gives something else."""
    import pkcs11

    point = bytes(public[pkcs11.Attribute.EC_POINT])
    if len(point) != 67 or not point.startswith(POINT_PREFIX):
        raise KeyStoreError("the token gives the public key in a form that is not known here")
    return point[len(POINT_PREFIX) :]


def _only(
    session: "pkcs11.Session", object_class: "pkcs11.ObjectClass", name: TokenKeyName
) -> "pkcs11.Object":
    import pkcs11

    wanted = {pkcs11.Attribute.CLASS: object_class, pkcs11.Attribute.LABEL: name.key}
    found = list(session.get_objects(wanted))
    kind = "private" if object_class is pkcs11.ObjectClass.PRIVATE_KEY else "public"
    if not found:
        raise KeyStoreError(f"{name}: there is no {kind} key of this label (`phoenix token new` makes one)")
    if len(found) > 1:
        raise KeyStoreError(f"{name}: {len(found)} {kind} keys have this label; which one is meant?")
    return found[0]


def in_session(name: TokenKeyName, pin: str, work: Callable[["pkcs11.Session"], Result]) -> Result:
    """Do some work in a session that may write, on the module's thread; KeyStoreError with what to do."""

    def deed() -> Result:
        session = open_session(name.module, name.token, pin, writable=True)
        try:
            with explained(name):
                return work(session)
        finally:
            _close_quietly(session)

    try:
        return thread_of(str(name.module)).run(deed, OPEN_TIMEOUT_S)
    except NoAnswer as error:
        raise KeyStoreError(f"{name}: the token gives {error}") from error


@contextmanager
def explained(name: TokenKeyName) -> Iterator[None]:
    """Whatever a token answers, in words that name it."""
    import pkcs11

    try:
        yield
    except pkcs11.PKCS11Error as error:
        raise KeyStoreError(
            f"{name}: the token refuses or is gone ({_words(error)}); check that it is connected"
        ) from error


def _close_quietly(session: "pkcs11.Session") -> None:
    """A session of a token that is gone cannot be closed, and need not be."""
    import pkcs11

    try:
        session.close()
    except pkcs11.PKCS11Error as error:
        log.debug("a session was not closed: %s", _words(error))


def _words(error: BaseException) -> str:
    """Most errors of the library have only a name."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
