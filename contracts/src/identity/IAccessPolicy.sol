// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The question that other contracts ask about who may do what
interface IAccessPolicy {
    /// @notice Whether `subject` may do `action` to `resource`; false where no policy says yes.
    /// @param action keccak256 of the action's name
    /// @param resource what it is done to: a site's, region's or contract's id
    function isAllowed(address subject, bytes32 action, bytes32 resource) external view returns (bool);
}
