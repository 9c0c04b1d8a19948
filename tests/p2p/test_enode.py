"""enode URLs against published ones, and the reason given for each refusal."""

from typing import Any

import pytest

from node.primitives.crypto import PrivateKey
from p2p.enode import Enode, InvalidEnode, parse_enode
from tests.vectors import load_json, require

KEY = PrivateKey(b"\x01" * 32).public_key
ID = KEY.hex()


def cases(valid: bool) -> list[Any]:
    """Published cases; node records (enr:) are another format, which we refuse by name."""
    entries = load_json(require("devp2p/enode_enr_urls.json"))["cases"]
    return [e for e in entries if e["valid"] is valid and not (valid and e["input"].startswith("enr:"))]


def test_published_urls_are_read() -> None:
    assert cases(valid=True)
    for case in cases(valid=True):
        expect = case["expect"]
        node = parse_enode(case["input"])
        assert node == Enode(bytes.fromhex(expect["pubkey"]), expect["ip"], expect["tcp"], expect["udp"])
        assert str(node) == case["input"]


def test_published_bad_urls_are_refused() -> None:
    assert cases(valid=False)
    for case in cases(valid=False):
        with pytest.raises(InvalidEnode):
            parse_enode(case["input"])


@pytest.mark.parametrize(
    "host", ["validator-1", "validator-1.core.example", "a.b-c.example.", "10.0.0.7", "fe80::1", "x_y"]
)
def test_hosts_may_be_names_or_addresses(host: str) -> None:
    written = f"[{host}]" if ":" in host else host
    url = f"enode://{ID}@{written}:30303"
    assert parse_enode(url) == Enode(KEY, host, 30303, 30303)
    assert str(parse_enode(url)) == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "does not start with enode://"),
        ("enr:-abc", "node record"),
        (f"enode://{ID[2:]}@h:1", "63 bytes"),
        (f"enode://{'zz' + ID[2:]}@h:1", "not hexadecimal"),
        (f"enode://{'01' * 64}@h:1", "no point of the curve"),
        (f"enode://{ID}@:1", "host or port is missing"),
        (f"enode://{ID}@h", "host or port is missing"),
        (f"enode://{ID}@h:99999", "no valid host and port"),
        (f"enode://{ID}@h:-1", "no valid host and port"),
        (f"enode://{ID}@[::1:1", "no valid host and port"),
        (f"enode://{ID}@1.2.3:1", "looks like an address"),
        (f"enode://{ID}@1.2.3.400:1", "looks like an address"),
        (f"enode://{ID}@node.invalid:1", "never resolves"),
        (f"enode://{ID}@no!de:1", "neither an address nor a host name"),
        (f"enode://{ID}@-x:1", "neither an address nor a host name"),
        (f"enode://{ID}@{'a.' * 127}b:1", "neither an address nor a host name"),
        (f"enode://{ID}@h:1/path", "follows the port"),
        (f"enode://{ID}@h:1#x", "follows the port"),
        (f"enode://{ID}@h:1?discport=", "discport"),
        (f"enode://{ID}@h:1?discport=99999", "discport"),
        (f"enode://{ID}@h:1?discport={'9' * 5000}", "discport"),
        (f"enode://{ID}@h:1?discport=1&discport=2", "discport"),
        (f"enode://{ID}@h\n:1", "blanks"),
        (f"enode://{ID}@höst:1", "outside ASCII"),
    ],
)
def test_a_refusal_names_its_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidEnode, match=reason):
        parse_enode(url)
