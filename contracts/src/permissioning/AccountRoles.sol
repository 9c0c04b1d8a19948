// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title What an account may be entered with, and what a transaction takes
/// @notice Creating a contract takes DEPLOY, data for an account that is there takes CALL, value takes TRANSFER: a
/// transaction that does two of them takes both. TRANSACT is CALL and TRANSFER in one, so that who was entered with it
/// before they were told apart may do what it could.
library AccountRoles {
    uint8 internal constant READ = 1;
    uint8 internal constant TRANSACT = 2;
    uint8 internal constant DEPLOY = 4;
    uint8 internal constant ADMIN = 8;
    uint8 internal constant CALL = 16;
    uint8 internal constant TRANSFER = 32;

    /// @dev Every role; TRANSACT stands for its two halves.
    uint8 internal constant ALL = READ | TRANSACT | DEPLOY | ADMIN;
    uint8 internal constant KNOWN = ALL | CALL | TRANSFER;

    /// @notice The single rights that roles give.
    function rights(uint8 roles) internal pure returns (uint8) {
        return roles & TRANSACT == 0 ? roles : (roles & ~TRANSACT) | CALL | TRANSFER;
    }

    /// @notice The rights that a transaction takes. Without data and value it is a transfer, of nothing. Without data
    /// it is no call, though it runs the `receive` of a contract that has one.
    function taken(address target, uint256 value, uint256 dataBytes) internal pure returns (uint8 needed) {
        if (target == address(0)) needed = DEPLOY;
        else if (dataBytes != 0) needed = CALL;
        else needed = TRANSFER;
        if (value != 0) needed |= TRANSFER;
    }
}
