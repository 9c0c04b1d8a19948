from eth_abi.abi import encode

from devnet import notebook
from node.primitives.crypto import keccak256

AUTHOR = "0x" + "ab" * 20


def signature(entry: dict[str, object]) -> str:
    inputs = entry["inputs"]
    assert isinstance(inputs, list)
    return f"{entry['name']}({','.join(each['type'] for each in inputs)})"


def test_selectors_and_topics_are_those_of_the_abi() -> None:
    signatures = {signature(entry) for entry in notebook.artifact()["abi"]}
    methods = notebook.artifact()["methods"]
    assert {"PageWritten(address,uint256,string)", "PageTaken(uint256,address)"} <= signatures
    assert methods == {name: keccak256(name.encode())[:4].hex() for name in methods}
    assert notebook.page_taken(7, AUTHOR).startswith(notebook.PAGE_TAKEN)


def test_runtime_code_stands_inside_the_creation_code() -> None:
    assert notebook.runtime_code()[2:] in notebook.creation_code()
    assert notebook.artifact()["settings"]["evmVersion"] == "london"


def test_answers_and_events_are_decoded() -> None:
    page = "0x" + encode(["address", "string"], [AUTHOR, "text"]).hex()
    assert notebook.decode_page(page) == (AUTHOR, "text")
    topics = [notebook.PAGE_WRITTEN, "0x" + "00" * 12 + "ab" * 20, hex(2)]
    log = {"topics": topics, "data": "0x" + encode(["string"], ["text"]).hex()}
    assert notebook.decode_event(log) == (AUTHOR, 2, "text")
