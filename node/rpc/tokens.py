"""JSON Web Tokens: verified against an issuer's keys, from a file or its JWKS, never by the token's own word.

A key says with which algorithm it verifies (RSA: RS256, P-256: ES256, Ed25519: EdDSA); a token that names
another one is refused, and so are `none` and everything symmetric. Issuer, audience, exp and nbf are checked,
with some leeway for clocks that differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from node.config.settings import AuthSettings
from node.primitives.errors import ConfigError
from node.rpc.identity import ROLE_NAMES, Identity, LoginRefused, Standing, roles_of

KEYS_MAX: Final = 64
RSA_BITS_LEAST: Final = 2048
TOKEN_CHARACTERS_MAX: Final = 16 * 1024
NAME_CHARACTERS_MAX: Final = 128
PEM_END: Final = b"-----END PUBLIC KEY-----"


class UnknownKey(LoginRefused):
    """Signed by a key that is not known here: perhaps a new one."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and the one algorithm that it is used with."""

    kid: str | None
    key: Any
    algorithm: str


def verify(token: str, keys: Sequence[VerifyingKey], settings: AuthSettings, now: float) -> Identity:
    """Who a token says its bearer is; LoginRefused, UnknownKey."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise LoginRefused(f"a token of more than {TOKEN_CHARACTERS_MAX} characters")
    try:
        header = jwt.get_unverified_header(token)
        key = _key_for(header, keys)
        claims = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            leeway=settings.jwt_leeway_s,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.PyJWTError as error:
        raise LoginRefused(f"the token was refused: {error}") from None
    name = claim(claims, settings.jwt_name_claim)
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise LoginRefused(f"the token's {settings.jwt_name_claim} is no name")
    ends_at = float(claims["exp"]) + settings.jwt_leeway_s
    return Identity(f"jwt:{name}", roles_of(_roles(claims, settings)), standing=Standing(ends_at))


def _key_for(header: Mapping[str, Any], keys: Sequence[VerifyingKey]) -> VerifyingKey:
    kid, algorithm = header.get("kid"), header.get("alg")
    fitting = [key for key in keys if kid is None or key.kid is None or key.kid == kid]
    if not fitting:
        raise UnknownKey("the token was signed by a key that the issuer does not publish")
    chosen = [key for key in fitting if key.algorithm == algorithm]
    if not chosen:
        used = ", ".join(sorted({key.algorithm for key in fitting}))
        raise LoginRefused(f"the token names an algorithm that its key is not used with ({used})")
    return chosen[0]


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its dotted path, such as realm_access.roles; a claim whose name has dots comes first."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _roles(claims: Mapping[str, Any], settings: AuthSettings) -> list[str]:
    """Our roles among those that the issuer gave; both a list and words in a text are usual."""
    given = claim(claims, settings.jwt_roles_claim)
    names = given.split() if isinstance(given, str) else given if isinstance(given, list) else []
    prefix = settings.jwt_role_prefix
    ours = {prefix + name: name for name in ROLE_NAMES}
    return [ours[name] for name in names if isinstance(name, str) and name in ours]


# --- keys


def read_key_set(content: bytes) -> list[VerifyingKey]:
    """Keys of a JWKS (RFC 7517); those for other purposes or of other kinds are left out. ConfigError."""
    try:
        listed = msgspec.json.decode(content)["keys"]
        candidates = [each for each in listed[:KEYS_MAX] if each.get("use", "sig") == "sig"]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError([f"not a JSON Web Key Set: {error}"]) from None
    keys = []
    for each in candidates:
        try:
            parsed = jwt.PyJWK.from_dict(each)
            keys.append(_verifying(parsed.key, each.get("kid")))
        except (jwt.PyJWTError, ConfigError, ValueError, TypeError):
            continue  # symmetric, too short, or of a kind that is not used here
    return keys


def read_key_file(content: bytes) -> list[VerifyingKey]:
    """Keys of a file: a JWKS, or public keys in PEM one after another. ConfigError."""
    if b"-----BEGIN" not in content:
        return read_key_set(content)
    keys = []
    for part in content.split(PEM_END)[:-1][:KEYS_MAX]:
        try:
            keys.append(_verifying(load_pem_public_key(part.strip() + b"\n" + PEM_END), None))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError([f"not a public key in PEM: {error}"]) from None
    return keys


def _verifying(key: object, kid: object) -> VerifyingKey:
    name = kid if isinstance(kid, str) else None
    match key:
        case RSAPublicKey() if key.key_size >= RSA_BITS_LEAST:
            return VerifyingKey(name, key, "RS256")
        case EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return VerifyingKey(name, key, "ES256")
        case Ed25519PublicKey():
            return VerifyingKey(name, key, "EdDSA")
        case _:
            kinds = f"RSA of at least {RSA_BITS_LEAST} bits, P-256 and Ed25519"
            raise ConfigError([f"a key of a kind that is not used here; {kinds} are"])
