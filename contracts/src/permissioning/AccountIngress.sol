// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Ingress} from "./Ingress.sol";
import {IAccountPermissions} from "./IPermissioning.sol";

/// @title Account permissions at 0x0000000000000000000000000000000000008888
/// @notice Without rules, every account may transact: somebody has to deploy the rules.
contract AccountIngress is Ingress, IAccountPermissions {
    event AccountPermissionsUpdated(bool addsRestrictions);

    /// @inheritdoc IAccountPermissions
    function transactionAllowed(
        address sender,
        address target,
        uint256 value,
        uint256 gasPrice,
        uint256 gasLimit,
        bytes calldata payload
    ) external view returns (bool) {
        if (_rules() == address(0)) return true;
        return IAccountPermissions(_rules()).transactionAllowed(sender, target, value, gasPrice, gasLimit, payload);
    }

    function _tell(bool addsRestrictions) internal override {
        emit AccountPermissionsUpdated(addsRestrictions);
    }
}
