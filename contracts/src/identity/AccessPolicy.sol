// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {IAccessPolicy} from "./IAccessPolicy.sol";
import {ICredentials} from "./ICredentials.sol";
import {ITrustedIssuers} from "./ITrustedIssuers.sol";

/// @title Access policies: who may do what to which resource
/// @notice Yes comes from a grant to the subject, or from a valid credential that the subject has presented and whose
/// issuer is trusted in the rule's region. Everything else is no. A policy for resource 0 holds for every resource.
/// Subjects are addresses; why one has a grant is kept off chain, where it can be erased.
contract AccessPolicy is IAccessPolicy, Governed {
    /// @notice What a credential must be to open a door; schema 0 is no rule.
    struct Rule {
        bytes32 schema;
        bytes32 region;
    }

    /// @custom:storage-location erc7201:phoenix.storage.AccessPolicy
    struct PolicyStorage {
        ICredentials credentials;
        ITrustedIssuers issuers;
        mapping(bytes32 action => mapping(bytes32 resource => Rule)) rules;
        mapping(bytes32 action => mapping(bytes32 resource => mapping(address subject => uint64 until))) grants;
        mapping(address subject => mapping(bytes32 schema => bytes32 credential)) presented;
        mapping(address subject => bool) suspended;
    }

    bytes32 private constant STORAGE = 0xc4e36d967dc4bf8de770d5001357237c5ca4d1d30dab48892ee6f20a362c0100;

    error AccessPolicyZero();
    error AccessPolicyNotSubject(bytes32 credential, address caller);
    error AccessPolicyInvalidCredential(bytes32 credential);

    event RuleSet(bytes32 indexed action, bytes32 indexed resource, bytes32 schema, bytes32 region);
    event Granted(bytes32 indexed action, bytes32 indexed resource, address indexed subject, uint64 until);
    event Withdrawn(bytes32 indexed action, bytes32 indexed resource, address indexed subject);
    event CredentialPresented(address indexed subject, bytes32 indexed schema, bytes32 indexed credential);
    event SuspensionChanged(address indexed subject, bool suspended);

    /// @notice Start with the registries that rules are judged by.
    function initialize(address authority, ICredentials credentials, ITrustedIssuers issuers) external initializer {
        __Governed_init(authority);
        if (address(credentials) == address(0) || address(issuers) == address(0)) revert AccessPolicyZero();
        _storage().credentials = credentials;
        _storage().issuers = issuers;
    }

    /// @notice Open an action on a resource to holders of a credential; schema 0 takes the rule away. REGISTRAR only.
    function setRule(bytes32 action, bytes32 resource, bytes32 schema, bytes32 region) external restricted whenNotPaused {
        _storage().rules[action][resource] = Rule(schema, region);
        emit RuleSet(action, resource, schema, region);
    }

    /// @notice Let a subject do it until a time (seconds), credential or not. REGISTRAR only.
    function grant(bytes32 action, bytes32 resource, address subject, uint64 until) external restricted whenNotPaused {
        if (subject == address(0) || action == 0) revert AccessPolicyZero();
        _storage().grants[action][resource][subject] = until;
        emit Granted(action, resource, subject, until);
    }

    /// @notice Take a grant back. REGISTRAR only.
    function withdraw(bytes32 action, bytes32 resource, address subject) external restricted {
        delete _storage().grants[action][resource][subject];
        emit Withdrawn(action, resource, subject);
    }

    /// @notice Shut every door to a subject, or open them again. REGISTRAR only.
    function setSuspended(address subject, bool suspended) external restricted {
        _storage().suspended[subject] = suspended;
        emit SuspensionChanged(subject, suspended);
    }

    /// @notice Show a credential that was issued to the caller; it counts for rules of its schema until another is shown.
    function present(bytes32 credential) external {
        PolicyStorage storage $ = _storage();
        ICredentials.Credential memory shown = $.credentials.credential(credential);
        if (shown.subject != msg.sender) revert AccessPolicyNotSubject(credential, msg.sender);
        if (!$.credentials.isValid(credential)) revert AccessPolicyInvalidCredential(credential);
        $.presented[msg.sender][shown.schema] = credential;
        emit CredentialPresented(msg.sender, shown.schema, credential);
    }

    /// @inheritdoc IAccessPolicy
    function isAllowed(address subject, bytes32 action, bytes32 resource) external view returns (bool) {
        if (_storage().suspended[subject]) return false;
        return _allows(subject, action, resource) || _allows(subject, action, 0);
    }

    /// @notice The rule of an action on a resource; schema 0 where there is none.
    function rule(bytes32 action, bytes32 resource) external view returns (Rule memory) {
        return _storage().rules[action][resource];
    }

    function _allows(address subject, bytes32 action, bytes32 resource) private view returns (bool) {
        PolicyStorage storage $ = _storage();
        if (block.timestamp < $.grants[action][resource][subject]) return true;
        Rule storage by = $.rules[action][resource];
        if (by.schema == 0) return false;
        bytes32 id = $.presented[subject][by.schema];
        if (id == 0 || !$.credentials.isValid(id)) return false;
        return $.issuers.isTrusted(by.region, by.schema, $.credentials.credential(id).issuer);
    }

    function _storage() private pure returns (PolicyStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
