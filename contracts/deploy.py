"""Put the suite on a chain: idempotent, resumable after a crash at any step, ending with the board in charge.

`python -m contracts` is its command line. Every step first looks whether it is done. Code goes out first,
then proxies, then names, organisations and roles; the deployer gives its own rights away last. Run again, it
changes nothing and verifies everything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from eth_abi import abi as codec
from eth_utils.address import to_checksum_address

from contracts.artifacts import load
from contracts.binding import kinds_of
from contracts.calls import calldata, created_address, creation, function_of, selector_of
from contracts.registry import Entry, Registry
from contracts.suite import (
    ACCOUNT_INGRESS,
    CALLERS,
    CONTRACTS_WITH_ROLES,
    IMPLEMENTATION_SLOT,
    NODE_INGRESS,
    PLAIN,
    At,
    Charter,
    Role,
    name_id,
    proxies,
)
from node.primitives.crypto import keccak256

Say: TypeAlias = Callable[[str], None]

ROLES_A_TRANSACTION: Final = 40
"""Changes of roles in one multicall."""


class DeployFailed(Exception):
    """The chain cannot take the suite, or holds something else than the registry says."""


class Chain(Protocol):
    """What deploying needs of a chain and of the account that pays."""

    @property
    def sender(self) -> str:
        """The deployer."""
        ...

    def next_nonce(self) -> int:
        """The deployer's next nonce, once everything it has sent is in a block."""
        ...

    def code(self, address: str) -> bytes:
        """Runtime code; b"" where there is none."""
        ...

    def slot(self, address: str, number: int) -> int:
        """A storage slot."""
        ...

    def call(self, to: str | None, data: bytes) -> bytes | None:
        """eth_call by the deployer; None when it reverts or cannot run."""
        ...

    def send(self, transactions: Sequence[tuple[str | None, bytes]]) -> None:
        """Send them in order and wait until all have succeeded; DeployFailed when one does not."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the setting up."""

    what: str
    contract: str
    data: bytes
    done: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did."""

    addresses: dict[str, str]
    deployed: tuple[str, ...]
    steps: tuple[str, ...]


def deploy(chain: Chain, charter: Charter, registry: Registry, say: Say, *, dry_run: bool = False) -> Report:
    """Bring the chain to where the charter wants it, or with `dry_run` only say what that would take."""
    refuse_old_evm(chain)
    return _Deployment(chain, charter, registry, say, dry_run).run()


def first_addresses(sender: str, charter: Charter) -> dict[str, str]:
    """Where the first run puts everything, of an account that has sent nothing before."""
    proxied = [name for name, _ in proxies(charter)]
    names = (*PLAIN, *(f"{name}.implementation" for name in proxied), *proxied)
    return {name: created_address(sender, nonce) for nonce, name in enumerate(names)}


def refuse_old_evm(chain: Chain) -> None:
    """DeployFailed unless the chain runs code compiled for London."""
    # BASEFEE CHAINID SELFBALANCE, 1 << 1, EXTCODEHASH; then PUSH1 1 PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN.
    probe = bytes.fromhex("484647505050600160011b50303f50600160005260206000f3")
    if chain.call(None, probe) != (1).to_bytes(32, "big"):
        raise DeployFailed("this chain's EVM is older than London: it does not run the probe that needs it")


class _Deployment:
    """One run."""

    def __init__(self, chain: Chain, charter: Charter, registry: Registry, say: Say, dry_run: bool) -> None:
        self._chain = chain
        self._charter = charter
        self._registry = registry
        self._say = say
        self._dry = dry_run
        self._deployed: list[str] = []
        self._steps: list[str] = []
        self._nonce = chain.next_nonce()
        self._proxies = proxies(charter)

    def run(self) -> Report:
        self._follow_upgrades()
        self._ensure(self._code())
        self._ensure(self._proxied())
        self._verify_implementations()
        if self._is_handed_over():
            self._refuse_drift()
        else:
            # Members come before the doors: those close to everybody who is not entered.
            for steps in (self._named(), self._founded(), self._entered(), self._doors()):
                self._do(steps)
            for steps in (self._roles(), self._handed_over()):
                self._do(steps)
        addresses = {name: each.address for name, each in self._registry.entries.items()}
        return Report(addresses, tuple(self._deployed), tuple(self._steps))

    # --- code

    def _code(self) -> Iterator[tuple[str, str, bytes]]:
        """(name, artifact, init code) of what depends on nothing else."""
        charter, sender = self._charter, self._chain.sender
        arguments: dict[str, tuple[Any, ...]] = {
            "AccessManager": (sender,),
            "TimelockController": (charter.minimum_delay_s, [], [], sender),
        }
        for name in PLAIN:
            yield name, name, creation(load(name), arguments.get(name, ()))
        for name, _ in self._proxies:
            yield f"{name}.implementation", name, creation(load(name), ())

    def _proxied(self) -> Iterator[tuple[str, str, bytes]]:
        for name, arguments in self._proxies:
            start = calldata(name, "initialize", *map(self._resolve, arguments))
            target = self._address(f"{name}.implementation")
            yield name, "ERC1967Proxy", creation(load("ERC1967Proxy"), (target, start))

    def _ensure(self, wanted: Iterator[tuple[str, str, bytes]]) -> None:
        """Send what is not there yet, all at once; CodeDiffers for what is there and is something else."""
        missing = []
        for name, artifact, init_code in wanted:
            entry = self._registry.entries.get(name)
            found = self._chain.code(entry.address) if entry else b""
            if found and load(artifact).same_code(found):
                continue
            if found and entry:
                raise DeployFailed(
                    f"{name} at {entry.address} has other code than the artifact {artifact}; "
                    "what stands is changed by a proposal of the board, not by deploying"
                )
            address = created_address(self._chain.sender, self._nonce)
            self._nonce += 1
            self._say(f"{'would deploy' if self._dry else 'deploying'} {name} at {address}")
            self._record(name, entry_of(name, address, artifact))
            self._deployed.append(name)
            missing.append((None, init_code))
        if missing and not self._dry:
            self._chain.send(missing)

    def _record(self, name: str, entry: Entry) -> None:
        if self._dry:
            self._registry.entries[name] = entry
        else:
            self._registry.put(name, entry)

    def _follow_upgrades(self) -> None:
        """Where the board has put the code of an artifact since, that is what the registry is about."""
        for name, _ in self._proxies:
            code_name = f"{name}.implementation"
            if {name, code_name} <= self._registry.entries.keys():
                runs = self._runs(name)
                if runs != self._address(code_name) and load(name).same_code(self._chain.code(runs)):
                    self._record(code_name, entry_of(code_name, runs, name))

    def _verify_implementations(self) -> None:
        """Each proxy runs code that we know, or code that the board has put there since."""
        if self._dry:
            return
        for name, _ in self._proxies:
            runs = self._runs(name)
            if runs != self._address(f"{name}.implementation"):
                raise DeployFailed(f"{name} runs {runs}, whose code is not that of the artifact {name}")

    def _runs(self, name: str) -> str:
        """What a proxy runs."""
        return runs_of(self._chain, self._address(name))

    # --- setting up

    def _named(self) -> Iterator[Step]:
        for name in (*PLAIN, *(name for name, _ in self._proxies)):
            target = self._address(name)
            yield self._step(f"name {name}", "ContractNames", "setAddress", (name, target),
                             "addressOf", (name,), target)  # fmt: skip

    def _founded(self) -> Iterator[Step]:
        for name, admin in self._charter.organisations.items():
            identity = name_id(name)
            yield self._step(f"organisation {name}", "Organisations", "addOrganisation",
                             (identity, admin, bytes(32)), "organisationOf", (admin,), identity)  # fmt: skip

    def _entered(self) -> Iterator[Step]:
        for node, name in self._charter.nodes.items():
            key = bytes.fromhex(node)
            yield self._step(f"node {node[:8]} of {name}", "Organisations", "addNode", (name_id(name), key),
                             "nodeAllowed", (keccak256(key),), True)  # fmt: skip
        for account, (name, roles) in self._charter.accounts.items():
            yield self._step(f"account {account} of {name}", "Organisations", "setAccount",
                             (name_id(name), account, roles), "rolesOf", (account,), roles)  # fmt: skip

    def _doors(self) -> Iterator[Step]:
        """The ingress contracts of genesis, where there are any."""
        doors = (
            ("NodeIngress", NODE_INGRESS, "NodeRules"),
            ("AccountIngress", ACCOUNT_INGRESS, "AccountRules"),
        )
        standing = [each for each in doors if load(each[0]).same_code(self._chain.code(each[1]))]
        for name, address, rules in standing:
            self._record(name, Entry(address, name))
            manager = self._address("AccessManager")
            yield self._step(f"start {name}", name, "start", (manager,), "authority", (), manager)
            # Who mends comes before the rules that may have to be mended.
            names = ((b"repair", "Board"), (b"administration", "Organisations"), (b"rules", rules))
            for key, target in names if name == "AccountIngress" else names[1:]:
                padded = key.ljust(32, b"\0")
                yield self._step(f"{name} asks {target}", name, "setContractAddress",
                                 (padded, self._address(target)), "getContractAddress", (padded,),
                                 self._address(target))  # fmt: skip
        if len(standing) == len(doors):
            data = calldata("Organisations", "setIngresses", NODE_INGRESS, ACCOUNT_INGRESS)
            # Nothing to look at: set again, it changes nothing.
            yield Step("organisations tell the ingresses", "Organisations", data, lambda: False)

    def _roles(self) -> Iterator[Step]:
        """All changes of roles that are not made yet, in as few transactions as can be."""
        changes = [each for each in (*self._callers(), *self._holders()) if not each.done()]
        for start in range(0, len(changes), ROLES_A_TRANSACTION):
            part = changes[start : start + ROLES_A_TRANSACTION]
            data = calldata("AccessManager", "multicall", [each.data for each in part])
            yield Step(f"{len(part)} changes of roles", "AccessManager", data, partial(_all_done, part))

    def _callers(self) -> Iterator[Step]:
        for contract, roles in CALLERS.items():
            target = self._address(contract)
            for role, functions in roles.items():
                selectors = [selector_of(contract, function) for function in functions]
                data = calldata("AccessManager", "setTargetFunctionRole", target, selectors, int(role))
                yield Step(f"{role.name} may call {contract}", "AccessManager", data,
                           partial(self._is_called_by, target, selectors, role))  # fmt: skip

    def _holders(self) -> Iterator[Step]:
        contracts = [(role, self._address(name)) for name, role in CONTRACTS_WITH_ROLES.items()]
        people = [(role, holder) for role, holders in self._charter.holders.items() for holder in holders]
        for role, holder in (*contracts, *people):
            data = calldata("AccessManager", "grantRole", int(role), holder, 0)
            yield Step(f"{holder} is {role.name}", "AccessManager", data,
                       partial(self._has_role, role, holder))  # fmt: skip

    def _handed_over(self) -> Iterator[Step]:
        """The timelock is the administrator, the board its only voice, and the deployer nobody."""
        sender, board, lock = self._chain.sender, self._address("Board"), self._address("TimelockController")
        for name in ("PROPOSER_ROLE", "EXECUTOR_ROLE"):
            role = keccak256(name.encode())
            yield self._step(f"the board is the timelock's {name}", "TimelockController", "grantRole",
                             (role, board), "hasRole", (role, board), True)  # fmt: skip
        data = calldata("AccessManager", "grantRole", int(Role.BOARD), lock, 0)
        yield Step("the timelock is the administrator", "AccessManager", data,
                   lambda: self._has_role(Role.BOARD, lock))  # fmt: skip
        yield self._step("the deployer leaves the timelock", "TimelockController", "renounceRole",
                         (bytes(32), sender), "hasRole", (bytes(32), sender), False)  # fmt: skip
        data = calldata("AccessManager", "renounceRole", int(Role.BOARD), sender)
        yield Step("the deployer leaves", "AccessManager", data, self._is_handed_over)

    def _do(self, steps: Iterator[Step]) -> None:
        waiting = []
        for step in steps:
            if step.done():
                continue
            self._say(f"{'would: ' if self._dry else ''}{step.what}")
            self._steps.append(step.what)
            waiting.append((self._address(step.contract), step.data))
        if waiting and not self._dry:
            self._chain.send(waiting)

    def _refuse_drift(self) -> None:
        """After the hand-over only the board can change anything: say what is not as it should be."""
        lock = self._address("TimelockController")
        steps = (*self._named(), *self._callers())
        wrong = [step.what for step in steps if not step.done()]
        if not self._has_role(Role.BOARD, lock):
            wrong.append("the timelock is the administrator")
        if wrong:
            raise DeployFailed("only the board can bring these about: " + "; ".join(wrong))

    # --- looking

    def _is_handed_over(self) -> bool:
        there = self._chain.code(self._address("AccessManager"))
        return bool(there) and not self._has_role(Role.BOARD, self._chain.sender)

    def _has_role(self, role: Role, account: str) -> bool:
        return bool((self._ask("AccessManager", "hasRole", int(role), account) or (False,))[0])

    def _is_called_by(self, target: str, selectors: list[bytes], role: Role) -> bool:
        found = [self._ask("AccessManager", "getTargetFunctionRole", target, each) for each in selectors]
        return all(each == (int(role),) for each in found)

    def _step(
        self, what: str, contract: str, function: str, arguments: tuple[Any, ...],
        view: str, about: tuple[Any, ...], wanted: object,
    ) -> Step:  # fmt: skip
        def done() -> bool:
            found = self._ask(contract, view, *about)
            value = found[0] if found else None
            return (to_checksum_address(value) if is_address(value) else value) == wanted

        return Step(what, contract, calldata(contract, function, *arguments), done)

    def _ask(self, contract: str, view: str, *arguments: Any) -> tuple[Any, ...] | None:
        """What a view answers; None where the contract is not there or refuses."""
        output = self._chain.call(self._address(contract), calldata(contract, view, *arguments))
        if not output:
            return None
        outputs = {"inputs": function_of(contract, view)["outputs"]}
        return tuple(codec.decode(kinds_of(outputs), output))

    def _address(self, name: str) -> str:
        return self._registry.entries[name].address

    def _resolve(self, argument: Any) -> Any:
        return self._address(argument.name) if isinstance(argument, At) else argument


def _all_done(steps: Sequence[Step]) -> bool:
    return all(each.done() for each in steps)


def entry_of(name: str, address: str, artifact: str) -> Entry:
    """What the registry keeps of a contract: of code behind a proxy also how its state lies."""
    if not name.endswith(".implementation"):
        return Entry(address, artifact)
    namespaces = load(artifact).storage_layout["namespaces"]
    return Entry(address, artifact, {each: list(members) for each, members in namespaces.items()})


def runs_of(chain: Chain, proxy: str) -> str:
    """The code that a proxy runs."""
    return to_checksum_address(chain.slot(proxy, IMPLEMENTATION_SLOT).to_bytes(32, "big")[12:])


def is_address(value: object) -> bool:
    """Whether a decoded value is an address in text."""
    return isinstance(value, str) and len(value) == 42 and value.startswith("0x")
