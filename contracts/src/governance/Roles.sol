// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Roles of the AccessManager
/// @notice Which role may call which function of which contract is data: contracts/deploy.py.
library Roles {
    /// @notice The AccessManager's ADMIN_ROLE: held by the board's timelock and by nobody else.
    uint64 internal constant BOARD = 0;
    /// @notice May pause what can be paused; the board alone lifts a pause for good.
    uint64 internal constant GUARDIAN = 1;
    /// @notice Enters organisations, nodes, accounts, regions, sites and operators.
    uint64 internal constant REGISTRAR = 2;
    /// @notice Reports usage and capacity.
    uint64 internal constant METER = 3;
    /// @notice Assesses, counter-signs, anchors audit logs.
    uint64 internal constant AUDITOR = 4;
    /// @notice Reports measurements of service levels.
    uint64 internal constant ORACLE = 5;
    /// @notice Mints and burns the settlement token; settles.
    uint64 internal constant SETTLER = 6;
    /// @notice Manages trusted issuers and schemas of credentials.
    uint64 internal constant ISSUER = 7;
    /// @notice Allocates resources to tenants.
    uint64 internal constant ALLOCATOR = 8;
    /// @notice Appoints the panels of disputes.
    uint64 internal constant ARBITER = 9;
    /// @notice Credits and debits accounts of billing: the contract of service levels, and settlement officers.
    uint64 internal constant ADJUSTER = 10;
}
