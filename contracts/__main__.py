"""`python -m contracts`: put the suite on a chain.

    python -m contracts --rpc URL --key-file FILE --charter charter.json --registry contracts.json [--dry-run]

The charter is a JSON object: members {address: weight}; rules {ordinary, structural, emergency: {quorum,
threshold, voting_period_s, delay_s}}, shares in basis points; validators {address: organisation};
organisations {name: administrator}; nodes {key: organisation}; accounts {address: [organisation, roles]};
holders {ROLE: [address]}; currency [name, symbol, decimals].
Exit codes: 0 done; 1 the chain refused or differs; 2 the command or the charter is wrong.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.deploy import DeployFailed, deploy
from contracts.registry import OtherChain, open_registry
from contracts.rpc_chain import RpcChain
from contracts.suite import Charter, Role, Rule


def charter_from(document: dict[str, Any]) -> Charter:
    """The charter; KeyError, TypeError or ValueError for what is missing or wrong."""
    rules = {name: Rule(**rule) for name, rule in document["rules"].items()}
    return Charter(
        members=document["members"],
        validators=document["validators"],
        organisations=document.get("organisations", {}),
        nodes=document.get("nodes", {}),
        accounts={address: (name, roles) for address, (name, roles) in document.get("accounts", {}).items()},
        holders={Role[name]: tuple(each) for name, each in document.get("holders", {}).items()},
        currency=tuple(document.get("currency", ("Phoenix settlement unit", "PSU", 6))),
        ordinary=rules["ordinary"],
        structural=rules["structural"],
        emergency=rules["emergency"],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m contracts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rpc", required=True, help="http:// URL of a node")
    parser.add_argument("--key-file", type=Path, required=True, help="the deployer's private key, in hex")
    parser.add_argument("--charter", type=Path, required=True)
    parser.add_argument("--registry", type=Path, required=True, help="where addresses are kept")
    parser.add_argument("--dry-run", action="store_true", help="send nothing; say what would be sent")
    args = parser.parse_args(arguments)
    try:
        charter = charter_from(json.loads(args.charter.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{args.charter}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    try:
        chain = RpcChain(args.rpc, args.key_file.read_text().strip())
        registry = open_registry(args.registry, chain.identity)
        report = deploy(chain, charter, registry, print, dry_run=args.dry_run)
    except (DeployFailed, OtherChain) as error:
        print(error, file=sys.stderr)
        return 1
    for name, address in sorted(report.addresses.items()):
        print(f"{address}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
