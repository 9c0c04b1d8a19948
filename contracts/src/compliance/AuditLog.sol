// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {IAuditLog} from "./IAuditLog.sol";
import {MerkleLog} from "./MerkleLog.sol";

/// @title Anchors of off-chain audit logs
/// @notice See {IAuditLog}.
contract AuditLog is IAuditLog, AccessManagedUpgradeable, UUPSUpgradeable {
    struct Log {
        address writer;
        Anchor[] anchors;
    }

    /// @custom:storage-location erc7201:phoenix.storage.AuditLog
    struct AuditLogStorage {
        mapping(bytes32 log => Log) logs;
    }

    bytes32 private constant STORAGE = 0x21b5cacab2974bffccc3ef496f2a1391367d8cc89e6fd92f9ee599b3d55cf000;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __AccessManaged_init(authority);
        __UUPSUpgradeable_init();
    }

    /// @inheritdoc IAuditLog
    function openLog(bytes32 log, address writer) external restricted {
        if (writer == address(0)) revert AuditLogZeroWriter();
        Log storage it = _storage().logs[log];
        if (it.writer != address(0)) revert AuditLogAlreadyOpen(log);
        it.writer = writer;
        emit LogOpened(log, writer);
    }

    /// @inheritdoc IAuditLog
    function changeWriter(bytes32 log, address writer) external restricted {
        if (writer == address(0)) revert AuditLogZeroWriter();
        Log storage it = _open(log);
        address previous = it.writer;
        it.writer = writer;
        emit WriterChanged(log, previous, writer);
    }

    /// @inheritdoc IAuditLog
    function anchor(bytes32 log, uint64 size, bytes32 root, bytes32 documentHash, bytes32[] calldata consistency)
        external
        returns (uint256 number)
    {
        Log storage it = _open(log);
        if (it.writer != msg.sender) revert AuditLogNotWriter(log, msg.sender);
        number = it.anchors.length;
        Anchor memory last;
        if (number != 0) last = it.anchors[number - 1];
        if (size <= last.size) revert AuditLogNotGrown(last.size, size);
        if (!MerkleLog.extends(last.root, last.size, root, size, consistency)) {
            revert AuditLogInconsistent(last.size, size);
        }
        bytes32 chain = keccak256(abi.encode(last.chain, root, size, documentHash));
        it.anchors.push(Anchor({root: root, chain: chain, size: size, anchoredAt: uint64(block.timestamp)}));
        emit LogAnchored(log, number, size, root, chain, documentHash);
    }

    /// @inheritdoc IAuditLog
    function writerOf(bytes32 log) external view returns (address) {
        return _storage().logs[log].writer;
    }

    /// @inheritdoc IAuditLog
    function anchorCount(bytes32 log) external view returns (uint256) {
        return _storage().logs[log].anchors.length;
    }

    /// @inheritdoc IAuditLog
    function anchorAt(bytes32 log, uint256 number) external view returns (Anchor memory) {
        return _anchor(log, number);
    }

    /// @inheritdoc IAuditLog
    function verifyEntry(bytes32 log, uint256 number, bytes32 entry, uint256 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        Anchor storage held = _anchor(log, number);
        return MerkleLog.includes(held.root, held.size, MerkleLog.leafOf(entry), index, proof);
    }

    /// @inheritdoc IAuditLog
    function verifyPrefix(bytes32 log, uint256 number, uint64 size, bytes32 root, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        Anchor storage held = _anchor(log, number);
        // An empty prefix has no root: whatever is claimed for it would be unproved.
        return size != 0 && MerkleLog.extends(root, size, held.root, held.size, proof);
    }

    /// @dev Upgrades come through the authority only: the governance timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    function _open(bytes32 log) private view returns (Log storage it) {
        it = _storage().logs[log];
        if (it.writer == address(0)) revert AuditLogUnknown(log);
    }

    function _anchor(bytes32 log, uint256 number) private view returns (Anchor storage) {
        Log storage it = _storage().logs[log];
        if (number >= it.anchors.length) revert AuditLogUnknownAnchor(log, number);
        return it.anchors[number];
    }

    function _storage() private pure returns (AuditLogStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
