import tomllib

from node.config.positions import Position, key_positions

DOCUMENT = '''\
# first comment with [brackets] and = signs
name = "alpha"   # trailing
text = """
[not.a.section]
key = 1
"""
list = [
  "a = 1",  # [x]
  "b]",
]
inline = { port = 1, list = [1, 2] }

[ rpc ]
  port = 8545
"host" = 'a#b'
[p2p.tls] # comment
a.b . c = 1
'''


def test_every_key_and_header_is_found_where_it_stands() -> None:
    tomllib.loads(DOCUMENT)
    assert key_positions(DOCUMENT) == {
        ("name",): Position(2, 1),
        ("text",): Position(3, 1),
        ("list",): Position(7, 1),
        ("inline",): Position(11, 1),
        ("rpc",): Position(13, 3),
        ("rpc", "port"): Position(14, 3),
        ("rpc", "host"): Position(15, 1),
        ("p2p", "tls"): Position(16, 2),
        ("p2p", "tls", "a", "b", "c"): Position(17, 1),
    }


def test_an_empty_document_has_no_keys() -> None:
    assert key_positions("") == key_positions("\n# only a comment") == {}


def test_windows_line_ends_and_a_missing_last_one_do_not_matter() -> None:
    assert key_positions("a = 1\r\n[b]\r\nc = 2") == {
        ("a",): Position(1, 1),
        ("b",): Position(2, 2),
        ("b", "c"): Position(3, 1),
    }
