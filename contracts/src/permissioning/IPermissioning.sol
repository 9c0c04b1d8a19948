// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Node permissions in the two forms of the EEA client specification
interface INodePermissions {
    /// @notice Whether a node may connect (version 6). The id is 64 bytes as hex, with or without 0x; host and port
    /// do not matter: a node is its key, which the transport proves.
    function connectionAllowed(string calldata enodeId, string calldata enodeIp, uint16 enodePort)
        external
        view
        returns (bool);

    /// @notice Whether two nodes may connect (version 5 and older): all ones for yes, all but the first for no.
    function connectionAllowed(
        bytes32 sourceEnodeHigh,
        bytes32 sourceEnodeLow,
        bytes16 sourceEnodeIp,
        uint16 sourceEnodePort,
        bytes32 destinationEnodeHigh,
        bytes32 destinationEnodeLow,
        bytes16 destinationEnodeIp,
        uint16 destinationEnodePort
    ) external view returns (bytes32);
}

/// @title Account permissions as the EEA client specification asks for them
interface IAccountPermissions {
    /// @notice Whether a transaction may be sent; creating a contract passes target 0.
    function transactionAllowed(
        address sender,
        address target,
        uint256 value,
        uint256 gasPrice,
        uint256 gasLimit,
        bytes calldata payload
    ) external view returns (bool);
}

/// @title What both ingress contracts tell
interface IIngress {
    /// @notice Pass on that permissions changed; `addsRestrictions` asks clients to look at live connections again.
    function emitRulesChangeEvent(bool addsRestrictions) external;
}
