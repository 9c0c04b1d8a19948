// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Whose credentials count where: trusted issuers per region, and agreements between regions
interface ITrustedIssuers {
    error TrustedIssuersNotSteward(bytes32 region, address caller);
    error TrustedIssuersZero();
    error TrustedIssuersSameRegion(bytes32 region);
    error TrustedIssuersPast(uint64 until);
    error TrustedIssuersNoAgreement(bytes32 region, bytes32 partner, bytes32 schema);
    error TrustedIssuersTooManyPartners(bytes32 region, uint256 most);

    event StewardChanged(bytes32 indexed region, address indexed steward);
    event IssuerTrusted(bytes32 indexed region, bytes32 indexed schema, address indexed issuer, uint64 until);
    event IssuerDistrusted(bytes32 indexed region, bytes32 indexed schema, address indexed issuer);
    event FederationOffered(bytes32 indexed region, bytes32 indexed partner, bytes32 indexed schema, uint64 until);
    event FederationAgreed(bytes32 indexed region, bytes32 indexed partner, bytes32 indexed schema, uint64 until);
    event FederationEnded(bytes32 indexed region, bytes32 indexed partner, bytes32 indexed schema, address by);

    /// @notice Name who speaks for a region. ISSUER only.
    function setSteward(bytes32 region, address steward) external;

    /// @notice Trust an issuer for a schema until a time (seconds). The region's steward only.
    function trust(bytes32 region, bytes32 schema, address issuer, uint64 until) external;

    /// @notice End that trust. The region's steward only.
    function distrust(bytes32 region, bytes32 schema, address issuer) external;

    /// @notice Offer a partner to honour each other's issuers of a schema; agreed when both offered the same time.
    function federate(bytes32 region, bytes32 partner, bytes32 schema, uint64 until) external;

    /// @notice End an agreement or offer at once; either steward may.
    function endFederation(bytes32 region, bytes32 partner, bytes32 schema) external;

    /// @notice Whether an issuer counts in a region: trusted there, or in a region it has an agreement with.
    function isTrusted(bytes32 region, bytes32 schema, address issuer) external view returns (bool);

    /// @notice Until when (seconds) two regions honour each other's issuers; 0 where they do not.
    function federatedUntil(bytes32 region, bytes32 partner, bytes32 schema) external view returns (uint64);

    /// @notice Who speaks for a region.
    function stewardOf(bytes32 region) external view returns (address);
}
