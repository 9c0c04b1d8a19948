"""The light client's aims, measured: memory, disk, start, seals, and a verified call beside its upstream.

    python tests/bench/light.py                     100,000 headers, 2,000 calls
    python tests/bench/light.py --headers 30000 --calls 500

Two parts. A chain of headers alone, 4 signers, is served by an HTTP process that knows nothing else but one
account's proof; a light client, a process of its own with settings of its own, starts on a checkpoint 30,000
blocks old, and another one on block 0. Then a validator seals with a contract on its chain, and the same
eth_call goes in turn to it and to a light client that asks it. Its genesis holds the suite after a day of a
small cloud: the light client then proves pages of the query API. Both have `light.contract_names` set.
"""

import argparse
import json
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from consensus.clique.rules import CliqueRules
from devnet import notebook
from devnet.client import RpcClient, RpcError, Unreachable
from devnet.generate import encode_toml
from devnet.wallet import Wallet, read_fees
from node.chain.genesis import genesis_block
from node.chain.genesis_json import parse_genesis
from node.light.checkpoint import Checkpoint, encode_checkpoint
from node.light.verifier import Trusted, verify_next
from node.primitives import rlp
from node.primitives.block import Header, decode_header, encode_header
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import hex_of
from node.trie.nodes import EMPTY_ROOT
from node.trie.proof import prove
from node.trie.tree import update
from tests.consensus.chains import address, child, key
from tests.faults.live import end_all, make_network, start
from tests.ports import free_port
from tests.replica.chains import a_day_recorded

SIGNERS = "ABCD"
OLD = 30_000
RICH = "0x" + "99" * 20
PAGES = ("/v1/invoices/1", "/v1/invoices/2", "/v1/allocations/1", "/v1/sla/agreements/1")


def genesis_json() -> dict[str, Any]:
    forks = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
             "istanbul", "berlin", "london")  # fmt: skip
    listed = b"".join(sorted(address(name) for name in SIGNERS))
    return {
        "config": {"chainId": 1337, "clique": {"period": 2, "epoch": 30_000}}
        | {f"{fork}Block": 0 for fork in forks},
        "timestamp": 1_700_000_000,
        "extraData": hex_of(bytes(32) + listed + bytes(65)),
        "gasLimit": 30_000_000,
        "difficulty": 1,
        "baseFeePerGas": "0x0",
        "alloc": {RICH: {"balance": "7"}},
    }


def make_headers(count: int) -> tuple[list[Header], list[Any]]:
    spec = parse_genesis(genesis_json())
    rules = CliqueRules(spec.engine)
    headers = [genesis_block(spec).header]
    state = rules.initial(headers[0])
    states = [state]
    names = {key(name).address: name for name in SIGNERS}
    for number in range(1, count + 1):
        author = names[state.signers.addresses[number % len(SIGNERS)]]
        header = child(rules, state, headers[-1], author)
        state = rules.advance(state, headers[-1], header)
        headers.append(header)
        states.append(state)
    return headers, states


def account_proof() -> list[str]:
    """Of the one account of genesis; every block has the same state."""
    leaf = rlp.encode([0, 7, EMPTY_ROOT, EMPTY_HASH])
    where = keccak256(bytes.fromhex(RICH[2:]))
    found = update({}.get, {where: leaf})
    return [hex_of(node) for node in prove(found.rows.get, where)]


def serve_headers(path: str) -> None:
    """An upstream that knows headers and one account; run in a process of its own."""
    encoded: list[str] = pickle.loads(Path(path).read_bytes())
    proof = {"accountProof": account_proof(), "storageProof": []}

    def answer(request: dict[str, Any]) -> Any:
        method, params = request["method"], request["params"]
        if method == "debug_getRawHeader":
            if params[0] == "latest":
                return encoded[-1]
            return encoded[int(params[0], 16)] if len(params[0]) < 12 else None
        return {"eth_chainId": "0x539", "eth_getProof": proof}[method]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            many = body if isinstance(body, list) else [body]
            replies = [{"jsonrpc": "2.0", "id": each["id"], "result": answer(each)} for each in many]
            raw = json.dumps(replies if isinstance(body, list) else replies[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def light_process(folder: Path, genesis: Path, upstreams: list[str], **light: Any) -> Any:
    """A light client as an operator runs it: (url, pid, the moment it was started)."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings = {
        "name": folder.name,
        "role": "light",
        "data_dir": str(folder / "data"),
        "genesis": str(genesis),
        "rpc": {"port": port},
        "light": {"upstreams": upstreams, "trust_period_s": 1e9} | light,
    }
    config = folder / "node.toml"
    config.write_text(encode_toml(settings))
    began = time.monotonic()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "run", "--config", str(config)], stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}", process.pid, began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def until(client: RpcClient, method: str, *params: Any, wanted: Any = None) -> Any:
    while True:
        try:
            answer = client.call(method, *params)
            if wanted is None or wanted(answer):
                return answer
        except (Unreachable, RpcError):
            pass
        time.sleep(0.01)


def status(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    table = dict(line.split(":", 1) for line in lines)
    return {name: int(table[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pure_seals(headers: list[Header], states: list[Any]) -> None:
    spec = parse_genesis(genesis_json())
    rules = CliqueRules(spec.engine)
    # Decoded anew, as they come from an upstream.
    fresh = [decode_header(encode_header(each)) for each in headers[:10_001]]
    at = Trusted(fresh[0], states[0], 1)
    began, used = time.perf_counter(), time.process_time()
    for header in fresh[1:]:
        at = verify_next(spec, rules, at, header, float("inf"))
    count = len(fresh) - 1
    print(f"verify_next, one thread:      {count / (time.perf_counter() - began):,.0f} headers/s"
          f" ({count / (time.process_time() - used):,.0f} per CPU second)", flush=True)  # fmt: skip


def headers_part(folder: Path, count: int) -> None:
    headers, states = make_headers(count)
    pure_seals(headers, states)
    (folder / "headers").write_bytes(pickle.dumps([hex_of(encode_header(each)) for each in headers]))
    genesis = folder / "genesis.json"
    genesis.write_text(json.dumps(genesis_json()))
    at = max(0, count - OLD)
    trusted = Trusted(headers[at], states[at], sum(each.difficulty for each in headers[: at + 1]))
    (folder / "c.json").write_text(encode_checkpoint(Checkpoint(1337, headers[0].hash, trusted)))
    del headers, states
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", str(folder / "headers")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    try:
        old_checkpoint(folder, genesis, url, count)
        whole_chain(folder, genesis, url, count)
    finally:
        server.kill()
        server.wait()


def old_checkpoint(folder: Path, genesis: Path, url: str, count: int) -> None:
    at = max(0, count - OLD)
    first = []
    for run in range(3):
        place = folder / f"start-{run}"
        with light_process(place, genesis, [url], checkpoint=str(folder / "c.json")) as (mine, pid, began):
            client = RpcClient(mine)
            until(client, "eth_blockNumber", wanted=lambda head: int(head, 16) >= count - 4)
            assert client.call("eth_getBalance", RICH, "latest") == "0x7"
            first.append((time.monotonic() - began, cpu_s(pid)))
            if run == 2:
                until(client, "eth_syncing", wanted=lambda answer: answer is False)
                spent, used_s = time.monotonic() - began, cpu_s(pid)
                print(
                    f"{count - at:,} headers verified:      {spent:.1f} s after the start, CPU {used_s:.1f} s"
                )
    walls, used = [each[0] for each in first], [each[1] for each in first]
    print(
        f"first verified answer:        median {statistics.median(walls):.2f} s, best {min(walls):.2f} s"
        f" after the start; CPU {min(used):.2f} s (aim: 2 s)",
        flush=True,
    )


def whole_chain(folder: Path, genesis: Path, url: str, count: int) -> None:
    place = folder / "whole"
    # Any address: the headers have no suite, but who is asked for its pages has loaded what they need.
    with light_process(place, genesis, [url], contract_names=RICH) as (mine, pid, began):
        client, most = RpcClient(mine), 0
        while True:
            most = max(most, disk(place))
            head = int(until(client, "eth_blockNumber"), 16)
            if head >= count - 4 and client.call("eth_syncing") is False:
                break
            time.sleep(0.1)
        spent, used, memory = time.monotonic() - began, cpu_s(pid), status(pid)
        old = client.call("eth_getHeaderByNumber", hex(count // 2))
        assert int(old["number"], 16) == count // 2
        most = max(most, disk(place))
    print(
        f"{count:,} headers by HTTP:     {count / spent:,.0f} verified a second, {count / used:,.0f} per CPU"
        " second of the client's"
    )
    print(f"disk after them:              {disk(place) / 1e6:.2f} MB, at most {most / 1e6:.2f} (aim: 5 MB)")
    print(
        f"resident after them:          {memory['VmRSS']:.0f} MB, at most {memory['VmHWM']:.0f} (aim: 60 MB)",
        flush=True,
    )


def disk(place: Path) -> int:
    return sum(each.stat().st_size for each in (place / "data").rglob("*") if each.is_file())


def calls_part(folder: Path, calls: int) -> None:
    layout = make_network(folder / "net", period_s=2)
    day = a_day_recorded()
    genesis = json.loads(layout.genesis.read_text())
    layout.genesis.write_text(json.dumps(genesis | {"alloc": day.chain.world.alloc() | genesis["alloc"]}))
    book = day.suite.report.addresses["ContractNames"]
    (validator,) = layout.nodes
    start(validator).wait_answering()
    full = RpcClient(validator.rpc_url)
    account = layout.accounts[0]
    wallet = Wallet(account["private_key"], layout.network.chain_id)
    wallet.read_nonce(full)
    fees = read_fees(full)
    signed = wallet.legacy(fees, 2_000_000, None, data=notebook.creation_code())
    full.call("eth_sendRawTransaction", signed.raw)
    contract = until(full, "eth_getTransactionReceipt", signed.hash, wanted=lambda r: r is not None)[
        "contractAddress"
    ]
    page = wallet.fee_market(fees, 300_000, contract, data=notebook.write_call(1, "measured"))
    full.call("eth_sendRawTransaction", page.raw)
    until(full, "eth_getTransactionReceipt", page.hash, wanted=lambda r: r is not None)
    call = ({"to": contract, "data": notebook.read_call(1)}, "latest")
    upstreams = [validator.rpc_url]
    with light_process(folder / "edge", layout.genesis, upstreams, contract_names=book) as (mine, pid, _):
        light = RpcClient(mine)
        truth = full.call("eth_call", *call)
        until(light, "eth_call", *call, wanted=lambda answer: answer == truth)
        taken: dict[str, list[float]] = {"upstream": [], "light": []}
        for number in range(calls):
            # What the contract does not read makes each a question of its own, which nobody remembers.
            asked = {**call[0], "data": call[0]["data"] + number.to_bytes(32, "big").hex()}
            for name, client in (("upstream", full), ("light", light)):
                began = time.perf_counter()
                answer = client.call("eth_call", asked, call[1])
                taken[name].append(time.perf_counter() - began)
                assert answer == truth
        memory = status(pid)
        pages = ask_pages(mine, calls)
        after = status(pid)
    for name, times in taken.items():
        middle, mean, last = (
            statistics.median(times),
            statistics.mean(times),
            sorted(times)[-calls // 100 - 1],
        )
        print(
            f"eth_call, {name:<8}:          median {middle * 1e3:.2f} ms, mean {mean * 1e3:.2f} ms,"
            f" 99th {last * 1e3:.2f} ms"
        )
    middles = statistics.median(taken["light"]) / statistics.median(taken["upstream"])
    means = statistics.mean(taken["light"]) / statistics.mean(taken["upstream"])
    print(
        f"verified over upstream:       {middles:.2f} by medians, {means:.2f} by means (aim: 2);"
        f" resident {memory['VmRSS']:.0f} MB",
        flush=True,
    )
    print(
        f"query API, {calls} pages:        median {statistics.median(pages) * 1e3:.2f} ms; resident"
        f" {after['VmRSS']:.0f} MB, at most {after['VmHWM']:.0f} (aim: 60 MB)",
        flush=True,
    )


def ask_pages(url: str, count: int) -> list[float]:
    """Seconds that each took."""
    taken = []
    for place in range(count):
        began = time.perf_counter()
        with urlopen(url + PAGES[place % len(PAGES)], timeout=60) as reply:
            assert json.loads(reply.read())["data"]
        taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--headers", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_headers(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            calls_part(Path(folder), options.calls)
            headers_part(Path(folder), options.headers)
        finally:
            end_all()


if __name__ == "__main__":
    main()
