// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {IContractNames} from "./IContractNames.sol";

/// @title Contracts by name
/// @notice See {IContractNames}.
contract ContractNames is IContractNames, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.ContractNames
    struct NamesStorage {
        string[] names;
        mapping(string name => address) targets;
    }

    bytes32 private constant STORAGE = 0xaed5fa46ea51e99c7a97524f473113292258badb754d30488579b7ec7ee8ad00;

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __Governed_init(authority);
    }

    /// @inheritdoc IContractNames
    function setAddress(string calldata name, address target) external restricted {
        NamesStorage storage $ = _storage();
        if (bytes(name).length == 0) revert ContractNamesEmpty();
        if (target == address(0)) revert ContractNamesZero(name);
        address before = $.targets[name];
        if (before == address(0)) $.names.push(name);
        $.targets[name] = target;
        emit ContractNamed(name, before, target);
    }

    /// @inheritdoc IContractNames
    function addressOf(string calldata name) external view returns (address target) {
        target = _storage().targets[name];
        if (target == address(0)) revert ContractNamesUnknown(name);
    }

    /// @inheritdoc IContractNames
    function names() external view returns (string[] memory) {
        return _storage().names;
    }

    function _storage() private pure returns (NamesStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
