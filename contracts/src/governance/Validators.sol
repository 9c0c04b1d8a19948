// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "./Governed.sol";
import {IValidators} from "./IValidators.sol";

/// @title The validators
/// @notice See {IValidators}. Only addresses and ids of organisations: nothing to erase.
contract Validators is IValidators, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.Validators
    struct ValidatorsStorage {
        address[] sorted;
        mapping(address validator => bool) known;
        mapping(address validator => bytes32) organisations;
    }

    bytes32 private constant STORAGE = 0xd0464e868a81845d581554086baef67dd5f181e4d1f262fb0a2e0a194ac4ef00;

    /// @notice The most validators that a network has.
    uint256 public constant VALIDATORS_MAX = 128;
    /// @notice The fewest: a chain without a validator stands still, and could not decide to have one.
    uint256 public constant VALIDATORS_MIN = 1;

    /// @notice Start with the validators of genesis.
    function initialize(address authority, address[] calldata validators, bytes32[] calldata organisations)
        external
        initializer
    {
        __Governed_init(authority);
        if (validators.length < VALIDATORS_MIN || validators.length != organisations.length) {
            revert ValidatorsTooFew(validators.length, VALIDATORS_MIN);
        }
        for (uint256 i = 0; i < validators.length; ++i) {
            _add(validators[i], organisations[i]);
            emit ValidatorAdded(validators[i], organisations[i]);
        }
    }

    /// @inheritdoc IValidators
    function add(address validator, bytes32 organisation) external restricted {
        _add(validator, organisation);
        emit ValidatorAdded(validator, organisation);
    }

    /// @inheritdoc IValidators
    function remove(address validator) external restricted {
        uint256 left = _storage().sorted.length - 1;
        bytes32 organisation = _remove(validator);
        if (left < VALIDATORS_MIN) revert ValidatorsTooFew(left, VALIDATORS_MIN);
        emit ValidatorRemoved(validator, organisation);
    }

    /// @inheritdoc IValidators
    function replace(address before, address validator) external restricted {
        bytes32 organisation = _remove(before);
        _add(validator, organisation);
        emit ValidatorReplaced(before, validator, organisation);
    }

    /// @inheritdoc IValidators
    function getValidators() external view returns (address[] memory) {
        return _storage().sorted;
    }

    /// @inheritdoc IValidators
    function isValidator(address validator) external view returns (bool) {
        return _storage().known[validator];
    }

    /// @inheritdoc IValidators
    function organisationOf(address validator) external view returns (bytes32) {
        return _storage().organisations[validator];
    }

    function _add(address validator, bytes32 organisation) private {
        ValidatorsStorage storage $ = _storage();
        if (validator == address(0)) revert ValidatorsZero();
        if ($.known[validator]) revert ValidatorsKnown(validator);
        if ($.sorted.length == VALIDATORS_MAX) revert ValidatorsTooMany(VALIDATORS_MAX);
        $.known[validator] = true;
        $.organisations[validator] = organisation;
        $.sorted.push(validator);
        for (uint256 i = $.sorted.length - 1; i > 0 && $.sorted[i - 1] > validator; --i) {
            $.sorted[i] = $.sorted[i - 1];
            $.sorted[i - 1] = validator;
        }
    }

    function _remove(address validator) private returns (bytes32 organisation) {
        ValidatorsStorage storage $ = _storage();
        if (!$.known[validator]) revert ValidatorsUnknown(validator);
        organisation = $.organisations[validator];
        delete $.known[validator];
        delete $.organisations[validator];
        uint256 i = 0;
        while ($.sorted[i] != validator) ++i;
        for (; i + 1 < $.sorted.length; ++i) {
            $.sorted[i] = $.sorted[i + 1];
        }
        $.sorted.pop();
    }

    function _storage() private pure returns (ValidatorsStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
