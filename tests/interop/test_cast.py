"""foundry's cast, pinned, does a day's work against a whole node: what a person types at a terminal."""

import functools
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import trio

from tests.chain.harness import ACCOUNTS, CHAIN_ID, ETHER
from tests.interop.npm import npm_install
from tests.rpc.desk import artifact
from tests.rpc.node import running_node

pytestmark = pytest.mark.interop

PACKAGE: Final = "@foundry-rs/cast@1.7.1"
ALICE, BOB = ACCOUNTS[0], ACCOUNTS[1]
KEY: Final = "0x" + ALICE.key.hex()
TAKE: Final = "take((address,(string,uint256)[]))"
ORDER: Final = f"({ALICE.address},[(pen,3),(ink,4)])"
COMMAND_TIMEOUT_S: Final = 60


class Cast:
    """The program, with the node's URL in its environment."""

    def __init__(self, url: str) -> None:
        self._program = npm_install(PACKAGE) / "node_modules" / ".bin" / "cast"
        self._environment = os.environ | {"ETH_RPC_URL": url}

    async def __call__(self, *arguments: str) -> str:
        """What it prints; fails when it complains."""
        done = await self._run(*arguments)
        assert not done.stderr, done.stderr.decode()
        return str(done.stdout.decode().strip())

    async def complaint(self, *arguments: str) -> str:
        """What it complains of."""
        done = await self._run(*arguments)
        assert done.stderr, done.stdout.decode()
        return str(done.stderr.decode())

    async def json(self, *arguments: str) -> Any:
        """Its answer in its JSON form."""
        return json.loads(await self(*arguments))

    async def _run(self, *arguments: str) -> Any:
        with trio.fail_after(COMMAND_TIMEOUT_S):
            return await trio.run_process(
                [self._program, *arguments],
                env=self._environment,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )


@asynccontextmanager
async def cast_at_a_node() -> AsyncIterator[Cast]:
    cast = await trio.to_thread.run_sync(functools.partial(npm_install, PACKAGE))
    assert cast
    async with running_node(sealing=True) as node:
        yield Cast(f"http://127.0.0.1:{node.place.port}")


async def deploy(cast: Cast) -> str:
    receipt = await cast.json("send", "--private-key", KEY, "--json", "--create", artifact()["bytecode"])
    assert receipt["status"] == "0x1"
    return str(receipt["contractAddress"])


async def test_the_chain_and_its_blocks() -> None:
    async with cast_at_a_node() as cast:
        assert await cast("chain-id") == str(CHAIN_ID)
        assert (await cast("client")).startswith("phoenix-ledger/")
        assert await cast("balance", ALICE.address) == str(1000 * ETHER)
        for kind in ([], ["--legacy"], ["--access-list", "[]"]):
            receipt = await cast.json(
                "send", "--private-key", KEY, "--json", *kind, BOB.address, "--value", "1ether"
            )
            assert receipt["status"] == "0x1"
        assert await cast("block-number") == "3"
        assert await cast("nonce", ALICE.address) == "3"
        assert await cast("balance", BOB.address, "--ether") == "1003.000000000000000000"
        tx_hash = receipt["transactionHash"]
        block = await cast.json("block", "latest", "--json")
        assert block["transactions"] == [tx_hash]
        assert (await cast.json("tx", tx_hash, "--json"))["blockHash"] == block["hash"]
        assert (await cast.json("receipt", tx_hash, "--json"))["gasUsed"] == receipt["gasUsed"]
        assert await cast("find-block", str(int(block["timestamp"], 16))) == "3"
        assert "successfully executed" in await cast("run", tx_hash)


async def test_a_contract() -> None:
    async with cast_at_a_node() as cast:
        desk = await deploy(cast)
        receipt = await cast.json("send", "--private-key", KEY, "--json", desk, TAKE, ORDER)
        assert (receipt["status"], len(receipt["logs"])) == ("0x1", 1)
        assert await cast("call", desk, "orders()(uint256)") == "1"
        order = await cast("call", desk, "read(uint256)((address,(string,uint256)[]))", "0")
        assert order == f'({ALICE.address}, [("pen", 3), ("ink", 4)])'
        event = "OrderTaken(address indexed,uint256 indexed,uint256)"
        assert len(await cast.json("logs", "--json", "--from-block", "0", "--address", desk, event)) == 1
        assert int(await cast("storage", desk, "0"), 16) == 1
        assert int(await cast("codesize", desk)) > 0
        assert int(await cast("estimate", desk, TAKE, ORDER)) > 100_000
        assert "0x" + "00" * 32 in await cast("access-list", desk, "orders()")
        proof = await cast.json("proof", desk, "0")
        assert proof["storageProof"][0]["value"] == "0x1"
        assert "successfully executed" in await cast("call", "--trace", desk, "orders()(uint256)")


async def test_refusals_say_why() -> None:
    async with cast_at_a_node() as cast:
        desk = await deploy(cast)
        nobody = "0x" + "00" * 20
        empty = await cast.complaint("call", desk, TAKE, f"({ALICE.address},[])")
        assert "error code 3: execution reverted, data: " in empty
        assert "0xf8bc8635" in empty  # EmptyOrder(address,uint256)
        assert "Desk: no customer" in await cast.complaint("call", desk, TAKE, f"({nobody},[(pen,1)])")
        for command in ("call", "estimate"):
            said = await cast.complaint(command, desk, "share(uint256,uint256)", "1", "0")
            assert "division or modulo by zero" in said
        said = await cast.complaint("send", "--private-key", KEY, "--nonce", "0", BOB.address)
        assert "nonce too low" in said


async def test_any_method_by_name() -> None:
    async with cast_at_a_node() as cast:
        await deploy(cast)
        assert len(await cast.json("rpc", "clique_getSigners")) == 1
        history = await cast.json("rpc", "eth_feeHistory", "0x1", '"latest"', "[50]")
        assert len(history["baseFeePerGas"]) == 2
        assert await cast.json("tx-pool", "status") == {"pending": "0x0", "queued": "0x0"}
        assert "does not exist" in await cast.complaint("rpc", "eth_nonsense")
