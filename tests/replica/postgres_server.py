"""A private PostgreSQL: a cluster of its own on a Unix socket, run by a user that is not root."""

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from node.replica.events import event_tables
from node.replica.postgres import PostgresDatabase
from node.replica.tables import CORE_TABLES

START_TIMEOUT_S = 60
TEMPLATE = "prepared"


def find_binaries() -> Path | None:
    """Where initdb and pg_ctl lie, if PostgreSQL is installed."""
    for folder in (*sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),):
        if Path(folder, "initdb").exists():
            return Path(folder)
    found = shutil.which("initdb")
    return Path(found).parent if found else None


class PostgresServer:
    """Started once for all tests of a session; `url(name)` names a fresh database."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="phoenix-pg-", dir=_quick_folder()))
        self._user = _unprivileged() if os.getuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._databases = 0
        self._data = str(self.folder / "data")
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--username=phoenix", "--encoding=UTF8", "-D", self._data
        )
        self.start()

    def start(self) -> None:
        """Start it, at first or after `halt`."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        log = str(self.folder / "log")
        wait = ("-w", "-t", str(START_TIMEOUT_S))
        self._run("pg_ctl", "-D", self._data, "-l", log, "-o", options, *wait, "start")

    def add_role(self, name: str, password: str) -> None:
        """Somebody who has to show a password from now on, and may do everything."""
        self.sql(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{password}'")
        rules = "local all phoenix trust\nlocal all all scram-sha-256\n"
        Path(self._data, "pg_hba.conf").write_text(rules)
        self._run("pg_ctl", "-D", self._data, "reload")

    def sql(self, text: str) -> None:
        """As the owner of it all."""
        self._run("psql", "-h", str(self.folder), "-U", "phoenix", "-q", "-c", text, "postgres")

    def halt(self) -> None:
        """Stop it as a crash would: connections break, nothing is tidied up; `start` brings it back."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def url(self) -> str:
        """A fresh database: empty, or after `prepare` with empty tables."""
        self._databases += 1
        name = f"test{self._databases}"
        template = ["-T", TEMPLATE] if self._databases > 1 else []
        self._run("createdb", "-h", str(self.folder), "-U", "phoenix", *template, name)
        return self._url(name)

    def prepare(self) -> None:
        """Make all tables once, for `url` to copy: there are hundreds."""
        self._databases = 1
        self._run("createdb", "-h", str(self.folder), "-U", "phoenix", TEMPLATE)
        database = PostgresDatabase(self._url(TEMPLATE))
        with database.write() as session:
            for table in (*CORE_TABLES, *event_tables()):
                database.create(session, table)
        database.close()

    def _url(self, name: str) -> str:
        return f"postgresql://phoenix@/{name}?host={self.folder}"

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        as_user = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid}
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            check=False,
            timeout=2 * START_TIMEOUT_S,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
            **as_user,
        )
        assert done.returncode == 0, f"{program}: {done.stderr or (self.folder / 'log').read_text()}"


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("PostgreSQL does not run as root, and there is no user nobody")


def _quick_folder() -> str:
    """Memory where there is some: a database has a thousand files here. Short, for the socket's name."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
