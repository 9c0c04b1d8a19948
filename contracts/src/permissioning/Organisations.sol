// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {AccountRoles} from "./AccountRoles.sol";
import {IOrganisations} from "./IOrganisations.sol";
import {IIngress} from "./IPermissioning.sol";

/// @title Organisations
/// @notice See {IOrganisations}. The lists are in this contract's storage: neither an upgrade of it nor new rules
/// before it lose them. A pause stops entries, never the answers, and never a suspension.
contract Organisations is IOrganisations, Governed {
    struct Member {
        bytes32 organisation;
        uint8 roles;
    }

    /// @custom:storage-location erc7201:phoenix.storage.Organisations
    struct OrganisationsStorage {
        mapping(bytes32 organisation => bool) known;
        mapping(bytes32 organisation => bool) suspended;
        mapping(bytes32 node => bytes32 organisation) nodes;
        mapping(address account => Member) accounts;
        IIngress nodeIngress;
        IIngress accountIngress;
    }

    bytes32 private constant STORAGE = 0x9bb57b25ec3b5b8c53674d715b2d05d8308cb80303a6c871dc9e007e77ef6a00;

    uint8 public constant READ = AccountRoles.READ;
    uint8 public constant TRANSACT = AccountRoles.TRANSACT;
    uint8 public constant DEPLOY = AccountRoles.DEPLOY;
    uint8 public constant ADMIN = AccountRoles.ADMIN;
    uint8 public constant CALL = AccountRoles.CALL;
    uint8 public constant TRANSFER = AccountRoles.TRANSFER;
    uint8 public constant ALL = AccountRoles.ALL;

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __Governed_init(authority);
    }

    /// @inheritdoc IOrganisations
    function addOrganisation(bytes32 organisation, address admin, bytes32 evidence) external restricted whenNotPaused {
        OrganisationsStorage storage $ = _storage();
        if (organisation == 0) revert OrganisationsZero();
        if ($.known[organisation]) revert OrganisationsExists(organisation);
        $.known[organisation] = true;
        emit OrganisationAdded(organisation, evidence);
        _setAccount(organisation, admin, ALL);
    }

    /// @inheritdoc IOrganisations
    function setSuspended(bytes32 organisation, bool suspended) external restricted {
        OrganisationsStorage storage $ = _storage();
        if (!$.known[organisation]) revert OrganisationsUnknown(organisation);
        $.suspended[organisation] = suspended;
        emit OrganisationSuspended(organisation, suspended);
        _tellNodes(suspended);
        _tellAccounts(suspended);
    }

    /// @inheritdoc IOrganisations
    function addNode(bytes32 organisation, bytes calldata enodeId) external whenNotPaused {
        OrganisationsStorage storage $ = _storage();
        _onlyAdmin(organisation);
        if (enodeId.length != 64) revert OrganisationsBadNodeId(enodeId.length);
        bytes32 node = keccak256(enodeId);
        if ($.nodes[node] != 0) revert OrganisationsNodeTaken(node, $.nodes[node]);
        $.nodes[node] = organisation;
        emit NodeAdded(organisation, node, enodeId);
        _tellNodes(false);
    }

    /// @inheritdoc IOrganisations
    function removeNode(bytes calldata enodeId) external {
        OrganisationsStorage storage $ = _storage();
        bytes32 node = keccak256(enodeId);
        bytes32 organisation = $.nodes[node];
        if (organisation == 0) revert OrganisationsUnknownNode(node);
        _onlyAdmin(organisation);
        delete $.nodes[node];
        emit NodeRemoved(organisation, node);
        _tellNodes(true);
    }

    /// @inheritdoc IOrganisations
    function setAccount(bytes32 organisation, address account, uint8 roles) external whenNotPaused {
        _onlyAdmin(organisation);
        _setAccount(organisation, account, roles);
    }

    /// @inheritdoc IOrganisations
    function removeAccount(address account) external {
        OrganisationsStorage storage $ = _storage();
        bytes32 organisation = $.accounts[account].organisation;
        if (organisation == 0) revert OrganisationsUnknownAccount(account);
        _onlyAdmin(organisation);
        delete $.accounts[account];
        emit AccountRemoved(organisation, account);
        _tellAccounts(true);
    }

    /// @inheritdoc IOrganisations
    function restoreAdmin(bytes32 organisation, address admin) external restricted {
        if (!_storage().known[organisation]) revert OrganisationsUnknown(organisation);
        _setAccount(organisation, admin, ALL);
    }

    /// @inheritdoc IOrganisations
    function setIngresses(address nodeIngress, address accountIngress) external restricted {
        _storage().nodeIngress = IIngress(nodeIngress);
        _storage().accountIngress = IIngress(accountIngress);
        emit IngressesChanged(nodeIngress, accountIngress);
    }

    /// @inheritdoc IOrganisations
    function nodeAllowed(bytes32 node) external view returns (bool) {
        OrganisationsStorage storage $ = _storage();
        bytes32 organisation = $.nodes[node];
        return organisation != 0 && !$.suspended[organisation];
    }

    /// @inheritdoc IOrganisations
    function rolesOf(address account) public view returns (uint8) {
        OrganisationsStorage storage $ = _storage();
        Member storage member = $.accounts[account];
        return $.suspended[member.organisation] ? 0 : member.roles;
    }

    /// @inheritdoc IOrganisations
    function organisationOf(address account) external view returns (bytes32) {
        return _storage().accounts[account].organisation;
    }

    function _onlyAdmin(bytes32 organisation) private view {
        bool ofIt = organisation != 0 && _storage().accounts[msg.sender].organisation == organisation;
        if (!ofIt || rolesOf(msg.sender) & ADMIN == 0) revert OrganisationsNotAdmin(organisation, msg.sender);
    }

    function _setAccount(bytes32 organisation, address account, uint8 roles) private {
        if (account == address(0)) revert OrganisationsZero();
        if (roles == 0 || roles > AccountRoles.KNOWN) revert OrganisationsBadRoles(roles);
        Member storage member = _storage().accounts[account];
        if (member.organisation != 0 && member.organisation != organisation) {
            revert OrganisationsAccountTaken(account, member.organisation);
        }
        uint8 before = AccountRoles.rights(member.roles);
        bool isNew = member.organisation == 0;
        member.organisation = organisation;
        member.roles = roles;
        if (isNew) emit AccountAdded(organisation, account, roles);
        else emit AccountRolesChanged(organisation, account, roles);
        _tellAccounts(before & ~AccountRoles.rights(roles) != 0);
    }

    function _tellNodes(bool addsRestrictions) private {
        IIngress ingress = _storage().nodeIngress;
        if (address(ingress) != address(0)) ingress.emitRulesChangeEvent(addsRestrictions);
    }

    function _tellAccounts(bool addsRestrictions) private {
        IIngress ingress = _storage().accountIngress;
        if (address(ingress) != address(0)) ingress.emitRulesChangeEvent(addsRestrictions);
    }

    function _storage() private pure returns (OrganisationsStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
