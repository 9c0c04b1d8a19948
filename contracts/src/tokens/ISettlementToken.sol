// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Money on the ledger: units of account that a settler issues against money in a bank
interface ISettlementToken is IERC20 {
    /// @notice Units came into being; `reference_` is the hash of the off-chain payment.
    event Issued(address indexed to, uint256 amount, bytes32 indexed reference_);
    /// @notice Units were redeemed; `reference_` is the hash of the off-chain payment.
    event Redeemed(address indexed from, uint256 amount, bytes32 indexed reference_);

    error SettlementTokenReferenceUsed(bytes32 reference_);
    error SettlementTokenZeroReference();

    /// @notice Issue units against a payment; each reference counts once. SETTLER only.
    function mint(address to, uint256 amount, bytes32 reference_) external;

    /// @notice Take units back against a payout; needs the holder's allowance. SETTLER only.
    function burn(address from, uint256 amount, bytes32 reference_) external;
}
