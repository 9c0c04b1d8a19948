// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The one rounding rule of the books
library Rounding {
    /// @notice numerator / denominator to the nearest integer, halves upwards.
    function halfUp(uint256 numerator, uint256 denominator) internal pure returns (uint256 quotient) {
        quotient = numerator / denominator;
        uint256 rest = numerator % denominator;
        // Not 2 * rest >= denominator: the doubling could overflow.
        if (rest >= denominator - rest) ++quotient;
    }
}
