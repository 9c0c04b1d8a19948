// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IBoard} from "../governance/IBoard.sol";
import {Governed} from "../governance/Governed.sol";
import {IOrganisations} from "./IOrganisations.sol";
import {IAccountPermissions} from "./IPermissioning.sol";

/// @title Account rules: what an account may send follows from its roles in its organisation
/// @notice Creating a contract needs DEPLOY; calling Organisations or the rules needs ADMIN; anything else needs
/// TRANSACT. An account that nobody entered may send nothing. Members of the board and their keys may always call the
/// board, suspended or not: no suspension and no pause can lock the board out. A pause does not change the answers.
contract AccountRules is IAccountPermissions, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.AccountRules
    struct AccountRulesStorage {
        IOrganisations organisations;
        IBoard board;
    }

    bytes32 private constant STORAGE = 0x72e90527cb1e93f37bd43cbc5aa17b5cafbd67657849121ab0bc025c554a3d00;
    uint8 private constant TRANSACT = 2;
    uint8 private constant DEPLOY = 4;
    uint8 private constant ADMIN = 8;

    error AccountRulesZero();

    /// @notice Start with the lists that are asked, and the board that is never locked out.
    function initialize(address authority, IOrganisations organisations, IBoard board) external initializer {
        __Governed_init(authority);
        if (address(organisations) == address(0) || address(board) == address(0)) revert AccountRulesZero();
        _storage().organisations = organisations;
        _storage().board = board;
    }

    /// @inheritdoc IAccountPermissions
    function transactionAllowed(address sender, address target, uint256, uint256, uint256, bytes calldata)
        external
        view
        returns (bool)
    {
        AccountRulesStorage storage $ = _storage();
        if (target == address($.board) && $.board.memberOf(sender) != address(0)) return true;
        uint8 needed = TRANSACT;
        if (target == address(0)) needed = DEPLOY;
        else if (target == address($.organisations) || target == address(this)) needed = ADMIN;
        return $.organisations.rolesOf(sender) & needed != 0;
    }

    function _storage() private pure returns (AccountRulesStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
