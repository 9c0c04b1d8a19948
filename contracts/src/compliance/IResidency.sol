// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Where data may lie
/// @notice A data class (a tenant's, or a shared one) is declared with the jurisdictions that may hold it. Provisioning
/// asks before it places anything. The declarer is the controller of the data; a declaration can be narrowed at once,
/// and widened only with the counter-signature of a compliance officer, because what has been copied abroad cannot be
/// called back. Classes and jurisdictions are hashes or codes, never names of persons.
interface IResidency {
    /// @notice A class of data exists.
    event ClassDeclared(bytes32 indexed dataClass, address indexed controller, bytes32 basisHash);
    /// @notice `jurisdiction` may hold the class.
    event JurisdictionAllowed(bytes32 indexed dataClass, bytes32 indexed jurisdiction, bytes32 basisHash);
    /// @notice The controller asks to widen the class.
    event WideningRequested(bytes32 indexed dataClass, bytes32 indexed jurisdiction, bytes32 basisHash);
    /// @notice `jurisdiction` may hold the class no longer.
    event JurisdictionWithdrawn(bytes32 indexed dataClass, bytes32 indexed jurisdiction);

    error ResidencyClassExists(bytes32 dataClass);
    error ResidencyUnknownClass(bytes32 dataClass);
    error ResidencyNotController(bytes32 dataClass, address caller);
    error ResidencyNoJurisdiction();
    error ResidencyNoBasis();
    error ResidencyAlreadyAllowed(bytes32 dataClass, bytes32 jurisdiction);
    error ResidencyNotAllowed(bytes32 dataClass, bytes32 jurisdiction);
    error ResidencyNotRequested(bytes32 dataClass, bytes32 jurisdiction);

    /// @notice Declare a class; the caller becomes its controller.
    /// @param basisHash Hash of the legal basis or contract.
    function declareClass(bytes32 dataClass, bytes32[] calldata jurisdictions, bytes32 basisHash) external;
    /// @notice Controller: ask for one more jurisdiction.
    function requestWidening(bytes32 dataClass, bytes32 jurisdiction, bytes32 basisHash) external;
    /// @notice Compliance officer: grant what the controller asked for. Restricted.
    function approveWidening(bytes32 dataClass, bytes32 jurisdiction) external;
    /// @notice Controller: take a jurisdiction away.
    function withdraw(bytes32 dataClass, bytes32 jurisdiction) external;

    /// @notice Whether data of the class may be held under `jurisdiction`. An unknown class may be held nowhere.
    function isResident(bytes32 dataClass, bytes32 jurisdiction) external view returns (bool);
    /// @notice Who declared the class; zero when nobody did.
    function controllerOf(bytes32 dataClass) external view returns (address);
}
