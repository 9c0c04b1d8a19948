// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {IIngress} from "./IPermissioning.sol";

/// @title A door at an address that never changes, to rules that can
/// @notice Its code and the address of its starter (slot 0) are in genesis. The starter names the authority once;
/// from then on the board decides which rules are asked. It is not upgradeable: what it does is all it will ever do.
abstract contract Ingress is IIngress {
    /// @notice Who may name the authority, once; set in genesis.
    address public starter;
    /// @notice The AccessManager; 0 before it is named.
    address public authority;
    mapping(bytes32 name => address) private _contracts;

    bytes32 public constant RULES_CONTRACT = "rules";
    bytes32 public constant ADMIN_CONTRACT = "administration";

    error IngressNotStarter(address caller);
    error IngressStarted();
    error IngressZeroAuthority();
    error IngressUnauthorized(address caller);

    event IngressStartedBy(address indexed authority);
    event RegistryUpdated(bytes32 indexed name, address indexed target);

    /// @notice Name the authority. The starter only, once.
    function start(address authority_) external {
        if (authority != address(0)) revert IngressStarted();
        if (msg.sender != starter) revert IngressNotStarter(msg.sender);
        if (authority_ == address(0)) revert IngressZeroAuthority();
        authority = authority_;
        emit IngressStartedBy(authority_);
    }

    /// @notice Say which contract is asked under a name. A decision of the board.
    function setContractAddress(bytes32 name, address target) external returns (bool) {
        (bool allowed,) = IAccessManager(authority).canCall(msg.sender, address(this), msg.sig);
        if (!allowed) revert IngressUnauthorized(msg.sender);
        _contracts[name] = target;
        emit RegistryUpdated(name, target);
        return true;
    }

    /// @notice The contract under a name; 0 where there is none.
    function getContractAddress(bytes32 name) public view returns (address) {
        return _contracts[name];
    }

    /// @inheritdoc IIngress
    function emitRulesChangeEvent(bool addsRestrictions) external {
        if (msg.sender != _contracts[RULES_CONTRACT] && msg.sender != _contracts[ADMIN_CONTRACT]) {
            revert IngressUnauthorized(msg.sender);
        }
        _tell(addsRestrictions);
    }

    function _rules() internal view returns (address) {
        return _contracts[RULES_CONTRACT];
    }

    function _tell(bool addsRestrictions) internal virtual;
}
