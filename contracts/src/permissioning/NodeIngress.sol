// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Ingress} from "./Ingress.sol";
import {INodePermissions} from "./IPermissioning.sol";

/// @title Node permissions at 0x0000000000000000000000000000000000009999
/// @notice Without rules, no node may connect.
contract NodeIngress is Ingress, INodePermissions {
    event NodePermissionsUpdated(bool addsRestrictions);

    bytes32 private constant DENIED = bytes32(type(uint256).max >> 1);

    /// @inheritdoc INodePermissions
    function connectionAllowed(string calldata enodeId, string calldata enodeIp, uint16 enodePort)
        external
        view
        returns (bool)
    {
        return _rules() != address(0) && INodePermissions(_rules()).connectionAllowed(enodeId, enodeIp, enodePort);
    }

    /// @inheritdoc INodePermissions
    function connectionAllowed(
        bytes32 sourceEnodeHigh,
        bytes32 sourceEnodeLow,
        bytes16 sourceEnodeIp,
        uint16 sourceEnodePort,
        bytes32 destinationEnodeHigh,
        bytes32 destinationEnodeLow,
        bytes16 destinationEnodeIp,
        uint16 destinationEnodePort
    ) external view returns (bytes32) {
        if (_rules() == address(0)) return DENIED;
        return INodePermissions(_rules()).connectionAllowed(
            sourceEnodeHigh,
            sourceEnodeLow,
            sourceEnodeIp,
            sourceEnodePort,
            destinationEnodeHigh,
            destinationEnodeLow,
            destinationEnodeIp,
            destinationEnodePort
        );
    }

    function _tell(bool addsRestrictions) internal override {
        emit NodePermissionsUpdated(addsRestrictions);
    }
}
