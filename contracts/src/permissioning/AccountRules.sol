// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IBoard} from "../governance/IBoard.sol";
import {Governed} from "../governance/Governed.sol";
import {AccountRoles} from "./AccountRoles.sol";
import {IOrganisations} from "./IOrganisations.sol";
import {IAccountPermissions} from "./IPermissioning.sol";

/// @title Account rules: what an account may send follows from its roles in its organisation
/// @notice Deployment, calls and value are rights of their own (see {AccountRoles}); calling Organisations or the rules
/// takes ADMIN in place of CALL. An account that nobody entered may send nothing. Members of the board and their keys
/// may always call the board, suspended or not: no suspension and no pause can lock the board out. A pause does not
/// change the answers.
contract AccountRules is IAccountPermissions, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.AccountRules
    struct AccountRulesStorage {
        IOrganisations organisations;
        IBoard board;
    }

    bytes32 private constant STORAGE = 0x72e90527cb1e93f37bd43cbc5aa17b5cafbd67657849121ab0bc025c554a3d00;

    error AccountRulesZero();

    /// @notice Start with the lists that are asked, and the board that is never locked out.
    function initialize(address authority, IOrganisations organisations, IBoard board) external initializer {
        __Governed_init(authority);
        if (address(organisations) == address(0) || address(board) == address(0)) revert AccountRulesZero();
        _storage().organisations = organisations;
        _storage().board = board;
    }

    /// @inheritdoc IAccountPermissions
    function transactionAllowed(
        address sender,
        address target,
        uint256 value,
        uint256,
        uint256,
        bytes calldata payload
    ) external view returns (bool) {
        AccountRulesStorage storage $ = _storage();
        if (target == address($.board) && $.board.memberOf(sender) != address(0)) return true;
        uint8 needed = AccountRoles.taken(target, value, payload.length);
        if (target == address($.organisations) || target == address(this)) {
            needed = (needed & ~AccountRoles.CALL) | AccountRoles.ADMIN;
        }
        return AccountRoles.rights($.organisations.rolesOf(sender)) & needed == needed;
    }

    function _storage() private pure returns (AccountRulesStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
