// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The suite's address book: contracts by name
interface IContractNames {
    error ContractNamesUnknown(string name);
    error ContractNamesZero(string name);
    error ContractNamesEmpty();

    event ContractNamed(string name, address indexed before, address indexed target);

    /// @notice Point a name to a contract. A decision of the board, after deployment.
    function setAddress(string calldata name, address target) external;

    /// @notice The contract with this name; ContractNamesUnknown where there is none.
    function addressOf(string calldata name) external view returns (address);

    /// @notice Every name, in the order they were first given.
    function names() external view returns (string[] memory);
}
