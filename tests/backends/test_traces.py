"""Traces of whole blocks: the same as transaction by transaction, with each transaction run once."""

import msgspec
import pytest

from node.backends.execution import ExecutorBackend
from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor, PyEvmSession
from node.rpc.backend import TraceOptions
from tests.chain.harness import ACCOUNTS, ChainMaker, transfer

COUNT = 12
OPTIONS = [
    TraceOptions(),
    TraceOptions(tracer="callTracer"),
    TraceOptions(tracer="prestateTracer"),
    TraceOptions(tracer="prestateTracer", diff_mode=True),
]


def never() -> bool:
    return False


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A nonce for each transaction that the reference executor runs."""
    runs: list[int] = []
    real = PyEvmSession.apply

    def counted(self, tx, interrupted=None, tracer=None):
        runs.append(tx.nonce)
        return real(self, tx, interrupted, tracer)

    monkeypatch.setattr(PyEvmSession, "apply", counted)
    return runs


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: f"{each.tracer}-{each.diff_mode}")
@pytest.mark.parametrize("fast", [False, True], ids=["py-evm", "fast"])
def test_a_block_costs_its_transactions_and_not_their_square(options, fast, applied) -> None:
    maker = ChainMaker()
    block = maker.extend([transfer(ACCOUNTS[0], nonce) for nonce in range(COUNT)])
    executor = FastExecutor(PyEvmExecutor()) if fast else PyEvmExecutor()
    backend = ExecutorBackend(maker.chain.reader, executor)
    applied.clear()
    whole = backend.trace_transactions(block, range(COUNT), options, never)
    if not fast or options.tracer != "prestateTracer":
        assert applied == list(range(COUNT))
    alone = [backend.trace_transactions(block, [index], options, never)[0] for index in range(COUNT)]
    assert [msgspec.json.decode(each) for each in whole] == [msgspec.json.decode(each) for each in alone]
    some = backend.trace_transactions(block, [3, 7], options, never)
    assert [bytes(each) for each in some] == [bytes(alone[3]), bytes(alone[7])]
