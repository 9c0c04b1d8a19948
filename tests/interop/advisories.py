"""An advisory database for pip-audit: what it says is in a file. `python -m tests.interop.advisories …`

Arguments: a certificate for pypi.org, its key, and a JSON file: "name version" -> PyPI's list of
vulnerabilities; null for a release that is not there; and "name" -> {"version": …, "vulnerabilities": …} for
the page of a project, which speaks of its newest release. A release that the file does not name has none. It
is reached the way a company's proxy is, by CONNECT, and speaks TLS and PyPI's JSON for pypi.org and nobody
else. Prints its port.
"""

import json
import ssl
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "pypi.org:443"


def main() -> None:
    """Serve until the process is ended."""
    certificate, key, said = sys.argv[1:]
    known = json.loads(Path(said).read_text())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    class Database(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            """A tunnel, which ends here."""
            if self.path != HOST:
                self.send_error(HTTPStatus.BAD_GATEWAY)
                return
            self.send_response_only(HTTPStatus.OK)
            self.end_headers()
            self.close_connection = False  # whatever version the tunnel was asked for in
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

        def do_GET(self) -> None:
            """/pypi/<name>/<version>/json, or /pypi/<name>/json."""
            _, _, name, *release, _ = self.path.split("/")
            page = known.get(name)
            version, found = (
                (release[0], known.get(f"{name} {release[0]}", []))
                if release
                else (page and page["version"], page and page["vulnerabilities"])
            )
            if found is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = json.dumps({"info": {"name": name, "version": version}, "vulnerabilities": found}).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Database)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
