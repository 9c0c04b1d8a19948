"""A process that behaves like a node from outside: `node_process.py BEHAVIOUR CONFIG`.

serve: listens on its RPC port and answers; die: prints a reason and ends; stubborn: ignores SIGTERM.
"""

import json
import signal
import sys
import time
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    behaviour, config = sys.argv[1], tomllib.loads(Path(sys.argv[2]).read_text())
    print(f"{config['name']} is {behaviour}", flush=True)
    if behaviour == "die":
        sys.exit("the disk is on fire")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else lambda *_: sys.exit(0))
    if behaviour == "stubborn":
        print("ready", flush=True)
        time.sleep(600)
    answers = {"eth_blockNumber": "0x7", "net_peerCount": hex(len(config["p2p"]["static_peers"]))}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            requests = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            replies = [{"id": each["id"], "result": answers.get(each["method"])} for each in requests]
            body = json.dumps(replies).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", config["rpc"]["port"]), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
