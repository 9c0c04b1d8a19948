// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The validators that the board has decided on
/// @notice QBFT's contract mode reads getValidators(); operators of a Clique network vote for what it says.
interface IValidators {
    error ValidatorsZero();
    error ValidatorsKnown(address validator);
    error ValidatorsUnknown(address validator);
    error ValidatorsTooFew(uint256 left, uint256 least);
    error ValidatorsTooMany(uint256 most);

    event ValidatorAdded(address indexed validator, bytes32 indexed organisation);
    event ValidatorRemoved(address indexed validator, bytes32 indexed organisation);
    event ValidatorReplaced(address indexed before, address indexed validator, bytes32 indexed organisation);

    /// @notice Add a validator that an organisation runs. A decision of the board.
    function add(address validator, bytes32 organisation) external;

    /// @notice Remove a validator; at least one stays. A decision of the board.
    function remove(address validator) external;

    /// @notice Put a new key in a validator's place, as one step. A decision of the board.
    function replace(address before, address validator) external;

    /// @notice All validators, by rising address: the same list for everybody.
    function getValidators() external view returns (address[] memory);

    /// @notice Whether it is one.
    function isValidator(address validator) external view returns (bool);

    /// @notice Who runs it; 0 for others.
    function organisationOf(address validator) external view returns (bytes32);
}
