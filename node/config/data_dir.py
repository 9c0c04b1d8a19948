"""What lies where in a node's data directory. Its owner is the node; nothing else writes there while it runs.

data/
  database/          LevelDB: blocks, state, proposals
  database.lmdb/     LMDB: the same, of a replica that has (or had) worker processes
  archive/           era1 files of finished blocks (archive nodes)
  guard/             LevelDB: what the signing key has signed; outlives a database that is synced anew
  token-key.json     whose key the validator's token has: known while the token is away
  index.sqlite       a replica's index of the chain; made again from it when it is gone
  nodekey            the identity on the network (unless node_key names another file), mode 0600
  audit/             what was done to and through the node (node/audit); old files may be moved away
  permissions.json   what the chain's rules last said of nodes; outlives a database that is synced anew
  transactions.rlp   journal of local transactions
  light/             a light client's headers, and evidence against upstreams that lied; no database
"""

from pathlib import Path


def database_path(data_dir: Path) -> Path:
    """The LevelDB directory."""
    return data_dir / "database"


def shared_database_path(data_dir: Path) -> Path:
    """The LMDB directory, which several processes read."""
    return data_dir / "database.lmdb"


def guard_path(data_dir: Path) -> Path:
    """The LevelDB directory of the signing guard."""
    return data_dir / "guard"


def known_token_path(data_dir: Path) -> Path:
    """The public half of the key in the validator's token."""
    return data_dir / "token-key.json"


def index_path(data_dir: Path) -> Path:
    """A replica's index, when it is SQLite."""
    return data_dir / "index.sqlite"


def node_key_path(data_dir: Path) -> Path:
    """Where the node's identity is made when the settings name none."""
    return data_dir / "nodekey"


def signatures_path(data_dir: Path) -> Path:
    """The audit log of what a signer was asked and gave; `audit_path` there is the administrator's."""
    return data_dir / "signatures"


def archive_path(data_dir: Path) -> Path:
    """Where an archive node finishes its files when the settings name no other directory."""
    return data_dir / "archive"


def permissions_path(data_dir: Path) -> Path:
    """Verdicts of the chain's rules for nodes."""
    return data_dir / "permissions.json"


def journal_path(data_dir: Path) -> Path:
    """Transactions of our own clients that are in no block yet."""
    return data_dir / "transactions.rlp"


def audit_path(data_dir: Path) -> Path:
    """The audit log's folder."""
    return data_dir / "audit"


def light_path(data_dir: Path) -> Path:
    """The verified headers of a light client."""
    return data_dir / "light" / "headers.log"


def evidence_path(data_dir: Path) -> Path:
    """What upstreams of a light client were caught at."""
    return data_dir / "light" / "evidence"
