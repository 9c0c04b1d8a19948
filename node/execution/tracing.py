"""What happened inside a transaction or call, as geth's debug_ methods show it.

`StructLogger` writes down every instruction, `CallTracer` every call. Both give JSON-ready values: numbers
that geth gives as numbers stay ints, everything else is a hex string. Both are bounded in bytes: a trace
that grows beyond is given up with TraceTooLarge, because half a trace looks like a whole one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from node.execution.opcode_names import name_of
from node.execution.reverts import revert_reason
from node.primitives.errors import RequestError
from node.primitives.ids import Address, hex_of
from node.primitives.receipt import Log

TRACE_BYTES_MAX: Final = 64 << 20
"""Most text that a trace may become; an answer over RPC has a lower limit of its own."""
FRAME_BYTES: Final = 400
"""What a call takes as text, without input and output."""

Json: TypeAlias = "dict[str, Json] | list[Json] | msgspec.Raw | str | int | bool | None"

_encode: Final = msgspec.json.Encoder().encode


class TraceTooLarge(RequestError):
    """The trace would not fit into memory that a request may use."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the trace is larger than {limit} bytes; leave out memory and stack, or set a limit"
        )


class Budget:
    """How much more may be written down."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def spend(self, size: int) -> None:
        """So many bytes more; TraceTooLarge when they do not fit."""
        self._left -= size
        if self._left < 0:
            raise TraceTooLarge(self._limit)


class StructLogger:
    """geth's default tracer: one entry for each instruction (implements StepTracer).

    Kept as text: the same as objects takes four times the memory, and leaves the heap in pieces.
    """

    wants_steps = True

    def __init__(
        self,
        *,
        with_memory: bool = False,
        with_stack: bool = True,
        with_storage: bool = True,
        with_return_data: bool = False,
        steps_max: int = 0,
        bytes_max: int = TRACE_BYTES_MAX,
    ) -> None:
        """`steps_max` 0 writes all instructions down; later ones than that still run."""
        self.wants_memory = with_memory
        self._with_stack = with_stack
        self._with_storage = with_storage
        self._with_return_data = with_return_data
        self._steps_max = steps_max
        self._budget = Budget(bytes_max)
        self._steps = 0
        self._text = bytearray(b"[")
        self._contexts: list[Address] = []
        """Whose storage each open frame works on."""
        self._storage: dict[Address, dict[str, Json]] = {}
        self._gas_used = 0
        self._failed = False
        self._output = b""

    def result(self) -> dict[str, Json]:
        """geth's answer: gas, failed, returnValue, structLogs."""
        return {
            "gas": self._gas_used,
            "failed": self._failed,
            "returnValue": self._output.hex(),
            "structLogs": msgspec.Raw(bytes(self._text) + b"]"),
        }

    def on_step(
        self,
        *,
        pc: int,
        opcode: int,
        gas: int,
        gas_cost: int,
        depth: int,
        stack: Sequence[int],
        memory: bytes,
        storage_change: tuple[int, int] | None,
        return_data: bytes,
        refund: int,
        error: str | None,
    ) -> None:
        """See StepTracer."""
        if self._steps_max and self._steps >= self._steps_max:
            return
        step: dict[str, Json] = {
            "pc": pc,
            "op": name_of(opcode),
            "gas": gas,
            "gasCost": gas_cost,
            "depth": depth + 1,
        }
        if error is not None:
            step["error"] = error
        if self._with_stack:
            step["stack"] = [hex(item) for item in stack]
        if self.wants_memory:
            step["memory"] = [memory[start : start + 32].hex() for start in range(0, len(memory), 32)]
        if self._with_return_data and return_data:
            step["returnData"] = hex_of(return_data)
        if self._with_storage and storage_change is not None:
            step["storage"] = self._storage_after(storage_change)
        if refund:
            step["refund"] = refund
        text = _encode(step)
        self._budget.spend(len(text) + 1)
        if self._steps:
            self._text += b","
        self._text += text
        self._steps += 1

    def on_log(self, log: Log, *, depth: int) -> None:
        """Nothing: LOG instructions are steps."""

    def on_enter(
        self, *, kind: str, sender: Address, to: Address | None, value: int, gas: int, data: bytes, depth: int
    ) -> None:
        """See StepTracer."""
        borrowed = kind in ("CALLCODE", "DELEGATECALL")
        self._contexts.append(sender if borrowed or to is None else to)

    def on_exit(
        self, *, output: bytes, gas_used: int, error: str | None, created: Address | None, depth: int
    ) -> None:
        """See StepTracer."""
        self._contexts.pop()
        if depth == 0:
            self._gas_used, self._failed, self._output = gas_used, error is not None, output

    def _storage_after(self, change: tuple[int, int]) -> dict[str, Json]:
        """Every slot of the contract that the trace has come upon so far."""
        slots = self._storage.setdefault(self._contexts[-1], {})
        slots[f"{change[0]:064x}"] = f"{change[1]:064x}"
        return slots


@dataclass(slots=True)
class _TracedCall:
    """A call on its way into the trace."""

    kind: str
    fields: dict[str, Json]
    failed: bool = False
    calls: list["_TracedCall"] = field(default_factory=list)
    logs: list[Json] = field(default_factory=list)

    def json(self, silenced: bool = False) -> dict[str, Json]:
        """geth's call frame; what a failed call and those inside it said was never said."""
        silenced = silenced or self.failed
        fields = dict(self.fields)
        if self.calls:
            fields["calls"] = [call.json(silenced) for call in self.calls]
        if self.logs and not silenced:
            fields["logs"] = list(self.logs)
        return fields


class CallTracer:
    """geth's callTracer: one entry for each call, in a tree (implements StepTracer)."""

    wants_steps = False
    wants_memory = False

    def __init__(
        self,
        *,
        only_top_call: bool = False,
        with_logs: bool = False,
        bytes_max: int = TRACE_BYTES_MAX,
    ) -> None:
        self._only_top_call = only_top_call
        self._with_logs = with_logs
        self._budget = Budget(bytes_max)
        self._open: list[_TracedCall] = []
        self._outermost: _TracedCall | None = None

    def result(self) -> dict[str, Json]:
        """geth's answer: the outermost call, with those inside it in `calls`."""
        assert self._outermost is not None, "nothing has been traced"
        return self._outermost.json()

    def on_step(self, **step: object) -> None:
        """Nothing: wants no steps."""

    def on_log(self, log: Log, *, depth: int) -> None:
        """See StepTracer."""
        if not self._with_logs or (self._only_top_call and depth):
            return
        self._budget.spend(FRAME_BYTES + 2 * len(log.data))
        call = self._open[-1]
        entry: dict[str, Json] = {
            "address": hex_of(log.address),
            "topics": [hex_of(topic) for topic in log.topics],
            "data": hex_of(log.data),
            "position": hex(len(call.calls)),
        }
        call.logs.append(entry)

    def on_enter(
        self, *, kind: str, sender: Address, to: Address | None, value: int, gas: int, data: bytes, depth: int
    ) -> None:
        """See StepTracer."""
        if self._only_top_call and depth:
            return
        self._budget.spend(FRAME_BYTES + 2 * len(data))
        fields: dict[str, Json] = {
            "from": hex_of(sender),
            "gas": hex(gas),
            "input": hex_of(data),
            "type": kind,
        }
        if to is not None:
            fields["to"] = hex_of(to)
        if kind != "STATICCALL":
            fields["value"] = hex(value)
        call = _TracedCall(kind, fields)
        if self._open:
            self._open[-1].calls.append(call)
        else:
            self._outermost = call
        self._open.append(call)

    def on_exit(
        self, *, output: bytes, gas_used: int, error: str | None, created: Address | None, depth: int
    ) -> None:
        """See StepTracer."""
        if self._only_top_call and depth:
            return
        self._budget.spend(2 * len(output))
        call = self._open.pop()
        call.fields["gasUsed"] = hex(gas_used)
        if output:
            call.fields["output"] = hex_of(output)
        if error is not None:
            call.failed = True
            call.fields["error"] = error
            reason = revert_reason(output)
            if reason is not None:
                call.fields["revertReason"] = reason
            if call.kind in ("CREATE", "CREATE2"):
                del call.fields["to"]
