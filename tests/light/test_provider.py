"""Whatever an upstream answers, the provider gives claims or raises one of three kinds of error."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.light.errors import UpstreamFault, UpstreamRefusal
from node.light.from_json import header_of_json, receipt_of_json
from node.light.json_rpc import Refusal, _outcome
from node.light.provider import RpcProvider
from node.primitives.errors import ChainError, RequestError
from node.primitives.ids import Address, Hash32
from node.rpc.encoding import block_json, receipt_json
from tests.chain.harness import ACCOUNTS, transfer
from tests.light.conftest import make_chain

HEX = st.binary(max_size=80).map(lambda raw: "0x" + raw.hex())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | HEX | st.text(max_size=8)
KEYS = st.sampled_from(
    [
        "hash",
        "number",
        "accountProof",
        "storageProof",
        "proof",
        "blockHash",
        "transactionIndex",
        "transactions",
        "accessList",
        "address",
        "storageKeys",
        "logs",
        "status",
        "type",
        "result",
        "error",
        "code",
        "message",
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)
HASH = Hash32(b"\x11" * 32)
SOMEBODY = Address(b"\x22" * 20)
TX = transfer(ACCOUNTS[0], 0)


class Answers:
    """A JsonRpc that answers everything with the same."""

    name = "http://any"
    bytes_max = 1 << 20

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def call(self, method: str, params: Sequence[Any], bytes_max: int) -> Any:
        outcome = _outcome({"result": self.answer})
        if isinstance(outcome, Refusal):
            raise UpstreamRefusal(self.name, method, outcome.code, outcome.text)
        return outcome

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]], bytes_max: int) -> list[Any]:
        return [self.answer] * len(requests)


ASKING: dict[str, Callable[[RpcProvider], Any]] = {
    "chain id": lambda provider: provider.chain_id(),
    "head": lambda provider: provider.head(),
    "header": lambda provider: provider.header(HASH),
    "headers": lambda provider: provider.headers(5, 2),
    "proofs": lambda provider: provider.proofs(HASH, [(SOMEBODY, (1,))]),
    "codes": lambda provider: provider.codes(HASH, [SOMEBODY]),
    "place": lambda provider: provider.place(HASH),
    "send": lambda provider: provider.send(TX),
    "access list": lambda provider: provider.access_list({}, HASH),
}


@pytest.mark.parametrize("question", ASKING)
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "json"])
@settings(max_examples=20)
@given(answer=JSON)
def test_any_answer_is_a_claim_or_a_known_error(question: str, raw: bool, answer: Any) -> None:
    provider = RpcProvider(Answers(answer))  # type: ignore[arg-type]
    provider._raw = raw
    try:
        ASKING[question](provider)
    except (ChainError, UpstreamFault, RequestError):
        return


def test_json_of_blocks_and_receipts_leads_back_to_what_was_hashed() -> None:
    maker, _, _ = make_chain()
    for number in range(maker.head.number + 1):
        block = maker.reader.block_by_number(number)
        assert block is not None
        assert header_of_json(block_json(block, None, full=True)) == block.header
        receipts = maker.reader.receipts(block.hash) or ()
        again = [receipt_of_json(receipt_json(block, receipts, index)) for index in range(len(receipts))]
        assert again == list(receipts)
