// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {ICredentials} from "./ICredentials.sol";

/// @title Credentials
/// @notice See {ICredentials}.
contract Credentials is ICredentials, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.Credentials
    struct CredentialsStorage {
        mapping(bytes32 id => Credential) credentials;
        mapping(address issuer => mapping(bytes32 list => mapping(uint256 word => uint256))) lists;
    }

    bytes32 private constant STORAGE = 0x5ecadd8c67a37d40aebfcab0cd1e158b49fa14e9acf47a940610a7908e08de00;

    /// @notice The most credentials of one batch.
    uint256 public constant BATCH_MAX = 200;

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __Governed_init(authority);
    }

    /// @inheritdoc ICredentials
    function issue(address subject, bytes32 schema, bytes32 contentHash, uint64 validUntil)
        external
        whenNotPaused
        returns (bytes32 id)
    {
        return _issue(subject, schema, contentHash, validUntil);
    }

    /// @inheritdoc ICredentials
    function issueMany(
        address[] calldata subjects,
        bytes32 schema,
        bytes32[] calldata contentHashes,
        uint64 validUntil
    ) external whenNotPaused returns (bytes32[] memory ids) {
        if (subjects.length != contentHashes.length) revert CredentialsLengthsDiffer();
        if (subjects.length > BATCH_MAX) revert CredentialsTooMany(subjects.length, BATCH_MAX);
        ids = new bytes32[](subjects.length);
        for (uint256 i = 0; i < subjects.length; ++i) {
            ids[i] = _issue(subjects[i], schema, contentHashes[i], validUntil);
        }
    }

    /// @inheritdoc ICredentials
    function revoke(bytes32 id, bytes32 reason) external {
        Credential storage found = _storage().credentials[id];
        if (found.issuer == address(0)) revert CredentialsUnknown(id);
        if (found.issuer != msg.sender) revert CredentialsNotIssuer(id, msg.sender);
        if (found.revoked) revert CredentialsRevoked(id);
        found.revoked = true;
        emit CredentialRevoked(id, msg.sender, reason);
    }

    /// @inheritdoc ICredentials
    function setStatus(bytes32 list, uint256 word, uint256 bits) external {
        _storage().lists[msg.sender][list][word] = bits;
        emit StatusChanged(msg.sender, list, word, bits);
    }

    /// @inheritdoc ICredentials
    function status(address issuer, bytes32 list, uint256 index) external view returns (bool) {
        return (_storage().lists[issuer][list][index / 256] >> (index % 256)) & 1 == 1;
    }

    /// @inheritdoc ICredentials
    function credential(bytes32 id) external view returns (Credential memory) {
        return _storage().credentials[id];
    }

    /// @inheritdoc ICredentials
    function isValid(bytes32 id) external view returns (bool) {
        Credential storage found = _storage().credentials[id];
        bool ended = found.validUntil != 0 && block.timestamp >= found.validUntil;
        return found.issuer != address(0) && !found.revoked && !ended;
    }

    /// @inheritdoc ICredentials
    function idOf(address issuer, address subject, bytes32 schema, bytes32 contentHash) public pure returns (bytes32) {
        return keccak256(abi.encode(issuer, subject, schema, contentHash));
    }

    function _issue(address subject, bytes32 schema, bytes32 contentHash, uint64 validUntil) private returns (bytes32 id) {
        if (subject == address(0) || schema == 0 || contentHash == 0) revert CredentialsZero();
        if (validUntil != 0 && validUntil <= block.timestamp) revert CredentialsPast(validUntil);
        id = idOf(msg.sender, subject, schema, contentHash);
        Credential storage made = _storage().credentials[id];
        if (made.issuer != address(0)) revert CredentialsExists(id);
        made.issuer = msg.sender;
        made.issued = uint64(block.timestamp);
        made.validUntil = validUntil;
        made.subject = subject;
        made.schema = schema;
        made.contentHash = contentHash;
        emit CredentialIssued(id, msg.sender, subject, schema, contentHash, validUntil);
    }

    function _storage() private pure returns (CredentialsStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
