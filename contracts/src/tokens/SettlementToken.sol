// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {ERC20Upgradeable} from "@openzeppelin/contracts-upgradeable/token/ERC20/ERC20Upgradeable.sol";
import {Governed} from "../governance/Governed.sol";
import {ISettlementToken} from "./ISettlementToken.sol";

/// @title The settlement token
/// @notice See {ISettlementToken}. Holders are addresses; who stands behind one is kept off chain and erased there.
contract SettlementToken is ISettlementToken, ERC20Upgradeable, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.SettlementToken
    struct TokenStorage {
        uint8 decimals;
        mapping(bytes32 reference_ => bool) used;
    }

    bytes32 private constant STORAGE = 0x994a4f4915ee8518e304689d625de834b47149aefe97d1485645cbd4370f1000;

    /// @notice Name the unit; `decimals_` is for display, all sums are in the smallest unit.
    function initialize(address authority, string calldata name_, string calldata symbol_, uint8 decimals_)
        external
        initializer
    {
        __Governed_init(authority);
        __ERC20_init(name_, symbol_);
        _storage().decimals = decimals_;
    }

    /// @inheritdoc ISettlementToken
    function mint(address to, uint256 amount, bytes32 reference_) external restricted {
        _use(reference_);
        _mint(to, amount);
        emit Issued(to, amount, reference_);
    }

    /// @inheritdoc ISettlementToken
    function burn(address from, uint256 amount, bytes32 reference_) external restricted {
        _use(reference_);
        if (from != msg.sender) _spendAllowance(from, msg.sender, amount);
        _burn(from, amount);
        emit Redeemed(from, amount, reference_);
    }

    /// @notice Places behind the point when shown to people.
    function decimals() public view override returns (uint8) {
        return _storage().decimals;
    }

    function _update(address from, address to, uint256 amount) internal override whenNotPaused {
        super._update(from, to, amount);
    }

    function _use(bytes32 reference_) private {
        TokenStorage storage $ = _storage();
        if (reference_ == 0) revert SettlementTokenZeroReference();
        if ($.used[reference_]) revert SettlementTokenReferenceUsed(reference_);
        $.used[reference_] = true;
    }

    function _storage() private pure returns (TokenStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
