"""Every setting with its type, unit and safe default. Names end in their unit: bytes, seconds (s)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """How LevelDB is opened and how much history stays."""

    block_cache_bytes: int = 32 * MIB
    write_buffer_bytes: int = 16 * MIB
    state_layers_max: int = 16
    """Most blocks whose state is kept in memory above the durable one: short forks there need no unwinding.
    When there are more, the oldest quarter is written."""
    history_blocks: int = 90_000
    """How many blocks back state can be read and unwound; 0 keeps everything, as an archive node does."""
    history_url: str | None = None
    """JSON-RPC of an archive node: told to whoever asks for a state that is no longer kept here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class P2PSettings:
    """Whom to meet and how."""

    host: str = "0.0.0.0"
    port: int = 30303
    advertise_host: str | None = None
    """Host in our own enode URL; the listening host when absent."""
    static_peers: tuple[str, ...] = ()
    """enode URLs, dialled for ever; host names are resolved again at every attempt."""
    trusted_peers: tuple[str, ...] = ()
    """enode URLs let in even when all places are taken."""
    peers_max: int = 50
    dial_timeout_s: float = 10.0
    handshake_timeout_s: float = 5.0
    idle_timeout_s: float = 30.0
    request_timeout_s: float = 10.0
    tls_certificate: Path | None = None
    """PEM chain; with tls_key and tls_ca, every connection is wrapped in mutual TLS 1.3. Replaced files are
    taken up."""
    tls_key: Path | None = None
    tls_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissioningSettings:
    """Who may connect, and whose transactions the pool takes; genesis.json says what a block may hold."""

    file: Path | None = None
    """Members with organisation and tier, TOML or JSON (node/permissioning/allowlist.py); without it the file
    has no say. Read again when it changes, or on SIGHUP."""
    node_ingress: str | None = None
    """Address of the contract that is asked who may connect; nobody is asked when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """How the JSON-RPC server listens and what it refuses."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8545
    """HTTP and WebSocket on one port."""
    namespaces: tuple[str, ...] = ("eth", "net", "web3", "txpool", "clique", "debug", "phoenix")
    """Of both listeners; what changes the node (admin_, votes) is on the admin listener only."""
    insecure: bool = False
    """Listen to other machines although TLS or authentication is missing: something in front does it."""
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None
    """Where administrative methods are served; nowhere when absent."""
    tls_certificate: Path | None = None
    """PEM chain; with tls_key, HTTP and WebSocket are served under TLS. Replaced files are taken up."""
    tls_key: Path | None = None
    client_certificates: Literal["none", "optional", "required"] = "none"
    client_ca: Path | None = None
    """PEM; who vouches for clients' certificates."""
    client_crl: Path | None = None
    """PEM; which of them their authorities have taken back. A replaced file is taken up."""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """Host headers that are answered (DNS rebinding); "*" answers all."""
    body_bytes_max: int = 5 * MIB
    batch_items_max: int = 1000
    response_bytes_max: int = 25 * MIB
    answers_bytes_max: int = 32 * MIB
    """Answers kept to be given again while they hold, of each process; 0: none. Light clients keep none."""
    reply_timeout_s: float = 30.0
    connections_max: int = 512
    call_gas_max: int = 50_000_000
    logs_range_blocks_max: int = 100_000
    """Readers may ask for 10 000; operators and auditors for this many."""
    logs_results_max: int = 20_000
    filters_max: int = 1_000
    filter_idle_s: float = 300.0
    subscriptions_per_connection_max: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Transactions waiting for a block."""

    transactions_max: int = 8_192
    bytes_max: int = 64 * MIB
    per_account_max: int = 256
    transaction_bytes_max: int = 128 * 1024
    minimum_priority_fee_wei: int = 0
    replacement_percent: int = 10
    """A replacement pays at least this much more; at price zero, see txpool.admission."""
    lifetime_s: float = 3 * 3600.0
    journal_interval_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionSettings:
    """Making blocks."""

    enabled: bool = False
    gas_limit_target: int = 30_000_000
    build_budget_s: float = 1.0
    """Executing transactions for one block stops after this long; what is done is sealed."""
    empty_blocks: bool = True
    extra_vanity: str = "phoenix"
    """At most 32 bytes of UTF-8, put in front of each sealed header's extra data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSettings:
    """Where the validator key lives."""

    backend: Literal["keystore", "pkcs11", "remote"] = "keystore"
    """keystore: an encrypted file, unlocked into memory; pkcs11: a hardware token that signs; remote: another
    process (`phoenix signer serve`, Web3Signer, clef)."""
    keystore: Path | None = None
    """Encrypted keystore v3 file."""
    password_file: Path | None = None
    """First line is the password; mode 0600. A systemd credential or a prompt otherwise."""
    pkcs11_module: Path | None = None
    """The token's driver, a shared library."""
    pkcs11_token: str | None = None
    """Label of the token."""
    pkcs11_key: str | None = None
    """Label of the key pair in the token."""
    pin_file: Path | None = None
    """First line is the token's PIN; mode 0600. A systemd credential or a prompt otherwise."""
    pin_fd: int | None = None
    """Or a file descriptor that whoever starts the node has opened for it."""
    remote_url: str | None = None
    """https://host:port; http only on this machine."""
    remote_dialect: Literal["web3signer", "clef"] = "web3signer"
    remote_address: str | None = None
    """Address of the key, 0x and 40 hex digits: so the node can start while its signer is down."""
    remote_certificate: Path | None = None
    """PEM; what this node shows the signer."""
    remote_key: Path | None = None
    remote_ca: Path | None = None
    """PEM; who vouches for the signer."""
    timeout_s: float = 10.0
    """How long a token or signer may take for a signature; then the block goes unsigned."""
    guard_rule: Literal["height", "weight"] = "height"
    """height: never two headers at one height, even on different forks; weight: total difficulty must grow,
    which lets a network of just enough signers recover from a fork (node/signing/guard.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSettings:
    """Which EVM runs."""

    executor: Literal["fast", "py-evm"] = "fast"
    """fast: our own, bytecode compiled to Python; py-evm: the reference, some ten times slower."""
    audit: Literal["off", "py-evm"] = "off"
    """py-evm: executes blocks a second time after import; where the two disagree, nothing is sealed any
    more."""
    audit_share: float = 1.0
    """Of the blocks, drawn at random; a second execution costs some ten times the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilitySettings:
    """What operators see."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Prometheus text and /health/{live,ready}; off when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    """What a read replica keeps beside the chain, and what it does with transactions."""

    workers: int = 0
    """Processes that answer clients, beside the one that follows the chain; 0: that one answers. One for each
    core that is to be used (node/replica/WORKERS.md). The chain then lies in LMDB, which many can read."""
    database: str = "sqlite"
    """Where the index lives. "sqlite": a file in data_dir; or a PostgreSQL URL without a password, which
    libpq finds by itself (passfile=, PGPASSFILE): "postgresql://phoenix@db.region/phoenix"."""
    trace_transfers: bool = True
    """Blocks are executed a second time to find transfers and creations inside transactions."""
    contract_names: str | None = None
    """Address of the contract suite's ContractNames; found by the doors of genesis when absent."""
    transactions: Literal["refuse", "forward"] = "forward"
    """What becomes of a client's transaction: refused, or kept on disk and passed on until it is in a
    block."""
    upstreams: tuple[str, ...] = ()
    """JSON-RPC URLs that transactions are sent to, in order of preference, beside the gossip among peers."""
    upstream_token_file: Path | None = None
    """First line is the bearer token that upstreams want; mode 0600."""
    resend_s: float = 10.0
    """A transaction that is in no block after this long is sent again, to the next upstream that is well."""
    query_timeout_s: float = 5.0
    """What one query of the index may cost; then it is given up."""
    page_items_max: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSettings:
    """Whom a light client asks, and what it trusts."""

    upstreams: tuple[str, ...] = ()
    """JSON-RPC URLs of nodes, of several sites if possible: one honest one among them is enough."""
    upstream_ca: Path | None = None
    """PEM; who vouches for https upstreams. The system's authorities when absent."""
    upstream_certificate: Path | None = None
    """PEM chain; what this client shows upstreams that demand a certificate."""
    upstream_key: Path | None = None
    upstream_token_file: Path | None = None
    """First line is the bearer token for upstreams that demand one; mode 0600; https only."""
    checkpoint: Path | None = None
    """What is trusted to begin with (`phoenix light checkpoint` makes one); block 0 when absent."""
    checkpoint_hash: str | None = None
    """Or the hash of a block that lists the signers: one whose number is a multiple of the epoch."""
    authorities: tuple[str, ...] = ()
    """Addresses whose signatures on a checkpoint count."""
    authorities_min: int = 0
    """So many of them must have signed it."""
    witnesses: int = 2
    """A new header is shown once so many upstreams have it, or once more than half of the signers have built
    on it. 1 shows it at once: then a signer and an upstream that lie together can show a false state."""
    headers_kept: int = 1_024
    """At least so many, at most twice as many: 0.6 KB each."""
    trust_period_s: float = 14 * 86_400.0
    """A trusted header that is older is verified from without leaving anything out before newer ones are
    shown: keys of former signers may have been stolen since."""
    poll_interval_s: float = 0.5
    request_timeout_s: float = 5.0
    answer_bytes_max: int = 32 * MIB
    """Of any answer of an upstream; most are allowed far less."""
    contract_names: str | None = None
    """0x address of the suite's ContractNames: with it, queries below /v1/ are answered from proved state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Where an archive node puts finished blocks (node/archive)."""

    write: bool = True
    """Whether it writes files at all."""
    directory: Path | None = None
    """Of finished files; data_dir/archive when absent."""
    blocks_per_file: int = 8_192
    """At most 8,192, which is what other programs expect."""
    final_depth_blocks: int = 64
    """A file is written once this many blocks lie on its last one, and at least one by every signer."""
    poll_s: float = 5.0
    """How often it is looked whether a file is due; what failed is tried again as often."""
    s3_bucket: str | None = None
    """Files are put into this bucket too."""
    s3_prefix: str = ""
    """Put before the names of files there, such as "region-1/"."""
    s3_endpoint: str | None = None
    """https://host:port of an S3-compatible store; Amazon's own when absent."""
    s3_region: str = "us-east-1"
    s3_credentials: Path | None = None
    """As AWS's tools have it: [default], aws_access_key_id, aws_secret_access_key; mode 0600. What boto3
    finds by itself (variables, the machine's role) when absent."""
    s3_timeout_s: float = 60.0
    anchor_keystore: Path | None = None
    """Encrypted key of the account that anchors each file's hash in AuditLog; no anchors when absent."""
    anchor_password_file: Path | None = None
    """First line is its password; mode 0600."""
    anchor_contract: str | None = None
    """Address of AuditLog."""
    anchor_registry: Path | None = None
    """Or the file in which the deployment of the contract suite noted addresses; it may come later."""
    anchor_rpc_url: str | None = None
    """http://host:port of a node that takes the transaction; this node when absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may use the JSON-RPC, and how much. Roles: node/rpc/roles.py."""

    local_roles: tuple[str, ...] = ("reader", "submitter")
    """Of clients on this machine that show no credentials, on a listener that only this machine reaches."""
    admin_local_roles: tuple[str, ...] = ()
    """The same on the admin listener; ("admin",) trusts every user of this machine."""
    stranger_roles: tuple[str, ...] = ()
    """Of other clients without credentials, beside anonymous."""
    api_keys: Path | None = None
    """File of API keys, made by `phoenix rpc-keys`; mode 0600."""
    clients: Path | None = None
    """TOML: who the subjects of client certificates are (node/rpc/clients.py)."""
    jwt_keys: Path | None = None
    """Public keys of a token issuer: PEM or JWKS."""
    jwks_url: str | None = None
    """Or where the issuer publishes them; https, or http on this machine."""
    jwks_ca: Path | None = None
    """PEM; who vouches for that place. The system's authorities when absent."""
    jwks_refresh_s: float = 300.0
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway_s: float = 30.0
    """How far the issuer's clock may differ from ours."""
    jwt_name_claim: str = "sub"
    jwt_roles_claim: str = "realm_access.roles"
    """Where a token holds roles, dotted; this is where Keycloak puts them."""
    jwt_role_prefix: str = "phoenix-"
    """What stands before our roles among the issuer's: "phoenix-reader"."""
    quota_ms_per_s: float = 400.0
    """Milliseconds of this node's work per second that each identity may use; 20 s worth may be saved up."""
    stranger_quota_ms_per_s: float = 50.0
    """The same for an address without credentials."""
    local_quota_ms_per_s: float = 0.0
    """The same for this machine's clients without credentials; 0 for no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """The chained record of what was done to and through this node (node/audit)."""

    enabled: bool = True
    disk_bytes_max: int = 2048 * MIB
    """Of data_dir/audit. What strangers provoke is counted only from 70 % on, transactions are refused at
    85 %, administration at 100 %; move old files away in time (`phoenix audit verify` first)."""
    anchor_keystore: Path | None = None
    """Encrypted key of the account that anchors the log's head in AuditLog; no anchors when absent."""
    anchor_password_file: Path | None = None
    """First line is its password; mode 0600."""
    anchor_contract: str | None = None
    """Address of AuditLog."""
    anchor_registry: Path | None = None
    """Or the file in which the deployment of the contract suite noted addresses; it may come later."""
    anchor_log: str | None = None
    """Name of this log in the contract, which knows its Keccak-256; "audit:NAME" when absent."""
    anchor_interval_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One node."""

    name: str = "phoenix"
    role: Literal["validator", "full", "replica", "archive", "light"] = "full"
    """replica: as full, with an index of what happened and the query API over it. archive: as full, but every
    state is kept, and finished blocks go into files. light: headers only, every answer proved."""
    data_dir: Path
    genesis: Path
    """geth's genesis.json."""
    node_key: Path | None = None
    """32 bytes hex, mode 0600: the identity on the network. By default data_dir/nodekey, made if absent."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    p2p: P2PSettings = field(default_factory=P2PSettings)
    permissioning: PermissioningSettings = field(default_factory=PermissioningSettings)
    rpc: RpcSettings = field(default_factory=RpcSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    production: ProductionSettings = field(default_factory=ProductionSettings)
    signing: SigningSettings = field(default_factory=SigningSettings)
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    replica: ReplicaSettings = field(default_factory=ReplicaSettings)
    light: LightSettings = field(default_factory=LightSettings)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    observability: ObservabilitySettings = field(default_factory=ObservabilitySettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
