"""Signed transactions flowing into one node, and what became of each from the sender's point of view."""

import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from devnet.client import RpcClient, RpcError, Unreachable
from devnet.layout import Layout, NodeFiles
from devnet.wallet import GWEI, Fees, Signed, Wallet
from tests.faults.live import PATIENCE_S
from tests.faults.model import TRANSFER

FEES = Fees(base=100 * GWEI, tip=GWEI)
"""Enough for every base fee of a chain that is never full."""
TOKEN_GAS = 80_000
SUPPLY = 10**24
TOKEN_CODE = (Path(__file__).parents[1] / "bench" / "data" / "Token.hex").read_text().strip()


class Traffic:
    """Wallets that send through one node. `accepted` grows only by what the node has answered for."""

    def __init__(
        self, layout: Layout, node: NodeFiles, rng: random.Random, *, first: int = 0, count: int = 8
    ):
        chain_id, accounts = layout.network.chain_id, layout.accounts[first : first + count]
        self.wallets = [Wallet(account["private_key"], chain_id) for account in accounts]
        self.accepted: set[str] = set()
        self.raws: dict[str, bytes] = {}
        """Every transaction ever signed, by its hash."""
        self.refused: list[str] = []
        self.heard: dict[int, str] = {}
        """Hash of each block that the node announced, by number; for whoever listens."""
        self.token: str | None = None
        self._node = node
        self._rng = rng
        self._everybody = [account["address"] for account in layout.accounts]

    def read_nonces(self, client: RpcClient) -> None:
        """Go on from what the node knows: what it was sent and did not answer for, it may or may not have."""
        for wallet in self.wallets:
            known = wallet.nonce
            wallet.read_nonce(client)
            assert wallet.nonce <= known or known == 0, "the node counts more than was ever sent"

    def send_again(self, client: RpcClient) -> None:
        """What the node has not answered for, in order: it may have it, or all nodes may, or nobody."""
        for each, raw in self.raws.items():
            if each in self.accepted:
                continue
            try:
                client.call("eth_sendRawTransaction", "0x" + raw.hex())
            except RpcError as error:
                if not error.message.startswith(("already known", "nonce too low")):
                    self.refused.append(error.message)
            else:
                self.accepted.add(each)

    def deploy(self, client: RpcClient) -> str:
        """Send the token's creation; its hash."""
        code = "0x" + TOKEN_CODE.removeprefix("0x") + SUPPLY.to_bytes(32, "big").hex()
        signed = self._keep(self.wallets[0].legacy(FEES, 1_500_000, None, data=code))
        client.call("eth_sendRawTransaction", signed.raw)
        self.accepted.add(signed.hash)
        return signed.hash

    def flow(self, stop: threading.Event, pause_s: float) -> None:
        """Send small batches until told to stop, or until the node is gone."""
        client = RpcClient(self._node.rpc_url, PATIENCE_S)
        try:
            while not stop.is_set():
                self._send(client, [self._next() for _ in range(self._rng.randint(1, 8))])
                time.sleep(self._rng.random() * 2 * pause_s)
        except Unreachable:
            return
        finally:
            client.close()

    def _send(self, client: RpcClient, signed: Sequence[Signed]) -> None:
        answers = client.batch([("eth_sendRawTransaction", (each.raw,)) for each in signed])
        for each, answer in zip(signed, answers, strict=True):
            if isinstance(answer, RpcError):
                self.refused.append(answer.message)
            else:
                self.accepted.add(each.hash)

    def _next(self) -> Signed:
        wallet, to = self._rng.choice(self.wallets), self._rng.choice(self._everybody)
        if self.token is not None and wallet is self.wallets[0] and self._rng.random() < 0.5:
            amount = self._rng.randint(1, 1000)
            data = (
                "0x"
                + TRANSFER.hex()
                + bytes.fromhex(to[2:]).rjust(32, b"\0").hex()
                + amount.to_bytes(32, "big").hex()
            )
            return self._keep(wallet.fee_market(FEES, TOKEN_GAS, self.token, data=data))
        if self._rng.random() < 0.3:
            return self._keep(wallet.legacy(FEES, 21_000, to, value=self._rng.randint(1, 10**9)))
        return self._keep(wallet.fee_market(FEES, 21_000, to, value=self._rng.randint(1, 10**9)))

    def _keep(self, signed: Signed) -> Signed:
        self.raws[signed.hash] = bytes.fromhex(signed.raw[2:])
        return signed
