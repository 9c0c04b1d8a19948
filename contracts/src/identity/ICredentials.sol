// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Credentials: that somebody said something about somebody, by hash, and whether it still holds
/// @notice The credential itself stays off chain, salted: once it is destroyed, its hash tells nobody anything.
interface ICredentials {
    /// @notice A credential; issuer 0 is one that does not exist.
    struct Credential {
        address issuer;
        uint64 issued;
        uint64 validUntil; // seconds; 0: no end
        bool revoked;
        address subject;
        bytes32 schema;
        bytes32 contentHash;
    }

    error CredentialsZero();
    error CredentialsExists(bytes32 id);
    error CredentialsUnknown(bytes32 id);
    error CredentialsNotIssuer(bytes32 id, address caller);
    error CredentialsRevoked(bytes32 id);
    error CredentialsPast(uint64 validUntil);
    error CredentialsLengthsDiffer();
    error CredentialsTooMany(uint256 given, uint256 most);

    event CredentialIssued(
        bytes32 indexed id,
        address indexed issuer,
        address indexed subject,
        bytes32 schema,
        bytes32 contentHash,
        uint64 validUntil
    );
    event CredentialRevoked(bytes32 indexed id, address indexed issuer, bytes32 reason);
    event StatusChanged(address indexed issuer, bytes32 indexed list, uint256 indexed word, uint256 bits);

    /// @notice State that a credential was issued; the caller is its issuer.
    function issue(address subject, bytes32 schema, bytes32 contentHash, uint64 validUntil) external returns (bytes32 id);

    /// @notice The same for many subjects of one schema.
    function issueMany(
        address[] calldata subjects,
        bytes32 schema,
        bytes32[] calldata contentHashes,
        uint64 validUntil
    ) external returns (bytes32[] memory ids);

    /// @notice Take a credential back, for good; its issuer only.
    function revoke(bytes32 id, bytes32 reason) external;

    /// @notice Set 256 bits of one of the caller's status lists: bit i of word w is entry 256 w + i; 1 is revoked.
    function setStatus(bytes32 list, uint256 word, uint256 bits) external;

    /// @notice An entry of an issuer's status list; false where nothing was set.
    function status(address issuer, bytes32 list, uint256 index) external view returns (bool);

    /// @notice The credential; issuer 0 where there is none.
    function credential(bytes32 id) external view returns (Credential memory);

    /// @notice Whether it exists, is not revoked and has not ended. Whether its issuer is trusted is another question.
    function isValid(bytes32 id) external view returns (bool);

    /// @notice The id that a credential has.
    function idOf(address issuer, address subject, bytes32 schema, bytes32 contentHash) external pure returns (bytes32);
}
