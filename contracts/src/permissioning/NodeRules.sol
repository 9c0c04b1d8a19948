// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {IOrganisations} from "./IOrganisations.sol";
import {INodePermissions} from "./IPermissioning.sol";

/// @title Node rules: the nodes of organisations that are not suspended may connect, all others may not
/// @notice A pause does not change the answers.
contract NodeRules is INodePermissions, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.NodeRules
    struct NodeRulesStorage {
        IOrganisations organisations;
    }

    bytes32 private constant STORAGE = 0x7968e63fa312bd6c0035b6d2295e7f0e91ccbf391905c01e2d50a7851aa15e00;
    bytes32 private constant ALLOWED = bytes32(type(uint256).max);
    bytes32 private constant DENIED = bytes32(type(uint256).max >> 1);
    uint8 private constant NO_DIGIT = 16;

    error NodeRulesZero();

    /// @notice Start with the lists that are asked.
    function initialize(address authority, IOrganisations organisations) external initializer {
        __Governed_init(authority);
        if (address(organisations) == address(0)) revert NodeRulesZero();
        _storage().organisations = organisations;
    }

    /// @inheritdoc INodePermissions
    function connectionAllowed(string calldata enodeId, string calldata, uint16) external view returns (bool) {
        (bool good, bytes memory key) = _parse(bytes(enodeId));
        return good && _storage().organisations.nodeAllowed(keccak256(key));
    }

    /// @inheritdoc INodePermissions
    function connectionAllowed(
        bytes32 sourceEnodeHigh,
        bytes32 sourceEnodeLow,
        bytes16,
        uint16,
        bytes32 destinationEnodeHigh,
        bytes32 destinationEnodeLow,
        bytes16,
        uint16
    ) external view returns (bytes32) {
        IOrganisations lists = _storage().organisations;
        bool both = lists.nodeAllowed(keccak256(abi.encodePacked(sourceEnodeHigh, sourceEnodeLow)))
            && lists.nodeAllowed(keccak256(abi.encodePacked(destinationEnodeHigh, destinationEnodeLow)));
        return both ? ALLOWED : DENIED;
    }

    /// @dev 128 hex digits, with or without 0x, to 64 bytes.
    function _parse(bytes calldata text) private pure returns (bool, bytes memory key) {
        uint256 from = text.length == 130 && text[0] == "0" && (text[1] == "x" || text[1] == "X") ? 2 : 0;
        if (text.length - from != 128) return (false, key);
        key = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            uint8 high = _digit(uint8(text[from + 2 * i]));
            uint8 low = _digit(uint8(text[from + 2 * i + 1]));
            if (high == NO_DIGIT || low == NO_DIGIT) return (false, key);
            key[i] = bytes1(high * 16 + low);
        }
        return (true, key);
    }

    function _digit(uint8 letter) private pure returns (uint8) {
        if (letter >= 48 && letter <= 57) return letter - 48; // 0-9
        if (letter >= 97 && letter <= 102) return letter - 87; // a-f
        if (letter >= 65 && letter <= 70) return letter - 55; // A-F
        return NO_DIGIT;
    }

    function _storage() private pure returns (NodeRulesStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
