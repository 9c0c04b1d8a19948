"""eth_: running code without leaving a trace."""

from collections.abc import Callable, Mapping

from node.config.settings import RpcSettings
from node.execution.executor import AccountOverride, Interrupted, InvalidTransaction
from node.primitives.ids import Address, hex_of
from node.rpc.backend import (
    BlockOverride,
    CallFailed,
    CallPlace,
    ChainBackend,
    ExecutionBackend,
)
from node.rpc.blocks import BlockId, Tag, holds_of, read_block_id, wanted_header
from node.rpc.call_args import CallArgs, read_block_override, read_call_args, read_state_overrides
from node.rpc.encoding import access_list_json
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import Param
from node.rpc.remembered import Holds
from node.rpc.reverts import call_error

Accounts = Mapping[Address, AccountOverride] | None


def methods(chain: ChainBackend, execution: ExecutionBackend, settings: RpcSettings) -> list[Method]:
    """call, estimateGas, createAccessList."""
    eth = _Calls(chain, execution, settings.call_gas_max)
    args, block = Param(read_call_args), Param(read_block_id, Tag.LATEST)
    accounts, block_override = Param(read_state_overrides, None), Param(read_block_override, BlockOverride())

    def holds(_: CallArgs, block: BlockId, *__: object) -> Holds | None:
        return holds_of(chain, block)

    def run(name: str, handler: Callable[..., Json], *params: Param) -> Method:
        return Method(name, handler, params, Where.CALL, holds=holds)

    return [
        run("eth_call", eth.call, args, block, accounts, block_override),
        run("eth_estimateGas", eth.estimate_gas, args, block, accounts, block_override),
        run("eth_createAccessList", eth.create_access_list, args, block, accounts),
    ]


class _Calls:
    def __init__(self, chain: ChainBackend, execution: ExecutionBackend, gas_max: int) -> None:
        self._chain = chain
        self._execution = execution
        self._gas_max = gas_max

    def call(
        self,
        interrupted: Interrupted,
        args: CallArgs,
        block: BlockId,
        accounts: Accounts,
        change: BlockOverride,
    ) -> Json:
        place = self._place(args, block, accounts, change)
        call = args.to_call(self._gas_max)
        try:
            result = self._execution.call(place, call, interrupted)
        except InvalidTransaction as error:
            raise RpcError(f"err: {error} (supplied gas {call.gas_limit})") from None
        if result.error is not None:
            raise call_error(result)
        return hex_of(result.output)

    def estimate_gas(
        self,
        interrupted: Interrupted,
        args: CallArgs,
        block: BlockId,
        accounts: Accounts,
        change: BlockOverride,
    ) -> Json:
        place = self._place(args, block, accounts, change)
        try:
            return hex(self._execution.estimate_gas(place, args.to_call(self._gas_max), interrupted))
        except InvalidTransaction as error:
            raise RpcError(str(error)) from None
        except CallFailed as failed:
            raise call_error(failed.result) from None

    def create_access_list(
        self, interrupted: Interrupted, args: CallArgs, block: BlockId, accounts: Accounts
    ) -> Json:
        place = self._place(args, block, accounts, BlockOverride())
        try:
            outcome = self._execution.create_access_list(place, args.to_call(self._gas_max), interrupted)
        except InvalidTransaction as error:
            raise RpcError(f"failed to apply transaction: {error}") from None
        fields: dict[str, Json] = {
            "accessList": access_list_json(outcome.access_list),
            "gasUsed": hex(outcome.gas_used),
        }
        if outcome.error is not None:
            fields["error"] = outcome.error
        return fields

    def _place(self, args: CallArgs, block: BlockId, accounts: Accounts, change: BlockOverride) -> CallPlace:
        wanted = self._chain.spec.chain_id
        if args.chain_id is not None and args.chain_id != wanted:
            raise RpcError(f"chainId does not match node's (have={args.chain_id}, want={wanted})")
        header = wanted_header(self._chain, block)
        return CallPlace(header=header, pending=block is Tag.PENDING, accounts=accounts, block=change)
