"""A file with a key for each role."""

from pathlib import Path

from node.rpc.api_keys import new_key


def keys_for(folder: Path, *roles: str, quota: float | None = None) -> tuple[Path, dict[str, str]]:
    """The file, and keys by the role that is also the name of their holder."""
    path = folder / "rpc-keys.json"
    return path, {role: new_key(path, role, [role], 1, quota_ms_per_s=quota)[0] for role in roles}
