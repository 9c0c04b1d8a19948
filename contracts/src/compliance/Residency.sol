// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {IResidency} from "./IResidency.sol";

/// @title Where data may lie
/// @notice See {IResidency}.
contract Residency is IResidency, AccessManagedUpgradeable, UUPSUpgradeable {
    /// @custom:storage-location erc7201:phoenix.storage.Residency
    struct ResidencyStorage {
        mapping(bytes32 dataClass => address) controllers;
        mapping(bytes32 dataClass => mapping(bytes32 jurisdiction => bool)) allowed;
        mapping(bytes32 dataClass => mapping(bytes32 jurisdiction => bytes32)) requested;
    }

    bytes32 private constant STORAGE = 0xacd5cf0f018f65ad09fb999e1465858be1ca8394bee0c0c8b90891e0e8f45a00;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __AccessManaged_init(authority);
        __UUPSUpgradeable_init();
    }

    /// @inheritdoc IResidency
    function declareClass(bytes32 dataClass, bytes32[] calldata jurisdictions, bytes32 basisHash) external {
        ResidencyStorage storage $ = _storage();
        if ($.controllers[dataClass] != address(0)) revert ResidencyClassExists(dataClass);
        if (jurisdictions.length == 0) revert ResidencyNoJurisdiction();
        $.controllers[dataClass] = msg.sender;
        emit ClassDeclared(dataClass, msg.sender, basisHash);
        for (uint256 i = 0; i < jurisdictions.length; ++i) {
            _allow($, dataClass, jurisdictions[i], basisHash);
        }
    }

    /// @inheritdoc IResidency
    function requestWidening(bytes32 dataClass, bytes32 jurisdiction, bytes32 basisHash) external {
        ResidencyStorage storage $ = _controlled(dataClass);
        if ($.allowed[dataClass][jurisdiction]) revert ResidencyAlreadyAllowed(dataClass, jurisdiction);
        if (basisHash == 0) revert ResidencyNoBasis();
        $.requested[dataClass][jurisdiction] = basisHash;
        emit WideningRequested(dataClass, jurisdiction, basisHash);
    }

    /// @inheritdoc IResidency
    function approveWidening(bytes32 dataClass, bytes32 jurisdiction) external restricted {
        ResidencyStorage storage $ = _storage();
        bytes32 basisHash = $.requested[dataClass][jurisdiction];
        if (basisHash == 0) revert ResidencyNotRequested(dataClass, jurisdiction);
        delete $.requested[dataClass][jurisdiction];
        _allow($, dataClass, jurisdiction, basisHash);
    }

    /// @inheritdoc IResidency
    function withdraw(bytes32 dataClass, bytes32 jurisdiction) external {
        ResidencyStorage storage $ = _controlled(dataClass);
        if (!$.allowed[dataClass][jurisdiction]) revert ResidencyNotAllowed(dataClass, jurisdiction);
        delete $.allowed[dataClass][jurisdiction];
        emit JurisdictionWithdrawn(dataClass, jurisdiction);
    }

    /// @inheritdoc IResidency
    function isResident(bytes32 dataClass, bytes32 jurisdiction) external view returns (bool) {
        return _storage().allowed[dataClass][jurisdiction];
    }

    /// @inheritdoc IResidency
    function controllerOf(bytes32 dataClass) external view returns (address) {
        return _storage().controllers[dataClass];
    }

    /// @dev Upgrades come through the authority only: the governance timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    function _allow(ResidencyStorage storage $, bytes32 dataClass, bytes32 jurisdiction, bytes32 basisHash) private {
        if ($.allowed[dataClass][jurisdiction]) revert ResidencyAlreadyAllowed(dataClass, jurisdiction);
        $.allowed[dataClass][jurisdiction] = true;
        emit JurisdictionAllowed(dataClass, jurisdiction, basisHash);
    }

    function _controlled(bytes32 dataClass) private view returns (ResidencyStorage storage $) {
        $ = _storage();
        address controller = $.controllers[dataClass];
        if (controller == address(0)) revert ResidencyUnknownClass(dataClass);
        if (controller != msg.sender) revert ResidencyNotController(dataClass, msg.sender);
    }

    function _storage() private pure returns (ResidencyStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
