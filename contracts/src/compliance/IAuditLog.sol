// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Anchors of off-chain audit logs
/// @notice Each log is an append-only Merkle tree kept off chain; the chain holds its roots. An anchor is accepted
/// only with a proof that the tree grew out of the one before, so nothing anchored can be altered or left out later.
/// Erasure: entries are hashes (salt them off chain); destroying the original and its salt leaves a random number.
interface IAuditLog {
    /// @notice One accepted root.
    struct Anchor {
        /// @notice Merkle root of all entries so far.
        bytes32 root;
        /// @notice keccak256(previous chain, root, size, documentHash): one hash that commits to every anchor so far.
        bytes32 chain;
        /// @notice Number of entries so far.
        uint64 size;
        /// @notice Seconds since the Unix epoch, of the block.
        uint64 anchoredAt;
    }

    /// @notice A log exists and `writer` may anchor it.
    event LogOpened(bytes32 indexed log, address indexed writer);
    /// @notice Another key anchors from now on.
    event WriterChanged(bytes32 indexed log, address indexed previous, address indexed writer);
    /// @notice The log grew to `size` entries under `root`.
    event LogAnchored(
        bytes32 indexed log, uint256 indexed number, uint64 size, bytes32 root, bytes32 chain, bytes32 documentHash
    );

    error AuditLogAlreadyOpen(bytes32 log);
    error AuditLogUnknown(bytes32 log);
    error AuditLogNotWriter(bytes32 log, address caller);
    error AuditLogZeroWriter();
    error AuditLogNotGrown(uint64 oldSize, uint64 newSize);
    error AuditLogInconsistent(uint64 oldSize, uint64 newSize);
    error AuditLogUnknownAnchor(bytes32 log, uint256 number);

    /// @notice Start a log. Restricted.
    function openLog(bytes32 log, address writer) external;
    /// @notice Replace the writer's key. Restricted.
    function changeWriter(bytes32 log, address writer) external;
    /// @notice Anchor the tree of `size` entries; `consistency` leads from the last anchored tree to this one.
    /// @param documentHash Hash of the batch as it is kept off chain (its manifest), for whoever fetches it.
    function anchor(bytes32 log, uint64 size, bytes32 root, bytes32 documentHash, bytes32[] calldata consistency)
        external
        returns (uint256 number);

    /// @notice Who anchors the log.
    function writerOf(bytes32 log) external view returns (address);
    /// @notice How many anchors the log has; they are numbered from 0.
    function anchorCount(bytes32 log) external view returns (uint256);
    /// @notice One anchor.
    function anchorAt(bytes32 log, uint256 number) external view returns (Anchor memory);
    /// @notice Whether `entry` is entry `index` of the log as anchored at `number`.
    function verifyEntry(bytes32 log, uint256 number, bytes32 entry, uint256 index, bytes32[] calldata proof)
        external
        view
        returns (bool);
    /// @notice Whether the tree (`size`, `root`) is the beginning of the log as anchored at `number`.
    function verifyPrefix(bytes32 log, uint256 number, uint64 size, bytes32 root, bytes32[] calldata proof)
        external
        view
        returns (bool);
}
