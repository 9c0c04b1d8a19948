// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The organisations of the network, with their nodes and accounts
/// @notice Organisations and machines only. An account may be a person's: enter an address, never a name; who it
/// belongs to is kept by the organisation, and erased there.
interface IOrganisations {
    error OrganisationsZero();
    error OrganisationsExists(bytes32 organisation);
    error OrganisationsUnknown(bytes32 organisation);
    error OrganisationsNotAdmin(bytes32 organisation, address caller);
    error OrganisationsNodeTaken(bytes32 node, bytes32 organisation);
    error OrganisationsUnknownNode(bytes32 node);
    error OrganisationsAccountTaken(address account, bytes32 organisation);
    error OrganisationsUnknownAccount(address account);
    error OrganisationsBadRoles(uint8 roles);
    error OrganisationsBadNodeId(uint256 length);

    event OrganisationAdded(bytes32 indexed organisation, bytes32 evidence);
    event OrganisationSuspended(bytes32 indexed organisation, bool suspended);
    event NodeAdded(bytes32 indexed organisation, bytes32 indexed node, bytes enodeId);
    event NodeRemoved(bytes32 indexed organisation, bytes32 indexed node);
    event AccountAdded(bytes32 indexed organisation, address indexed account, uint8 roles);
    event AccountRolesChanged(bytes32 indexed organisation, address indexed account, uint8 roles);
    event AccountRemoved(bytes32 indexed organisation, address indexed account);
    event IngressesChanged(address indexed nodeIngress, address indexed accountIngress);

    /// @notice Enter an organisation with its first account, which gets every role. REGISTRAR only.
    function addOrganisation(bytes32 organisation, address admin, bytes32 evidence) external;

    /// @notice Shut all its nodes and accounts out, or let them in again. REGISTRAR only.
    function setSuspended(bytes32 organisation, bool suspended) external;

    /// @notice Add a node by its 64-byte public key. The organisation's administrators only.
    function addNode(bytes32 organisation, bytes calldata enodeId) external;

    /// @notice Remove a node. The organisation's administrators only; a registrar suspends.
    function removeNode(bytes calldata enodeId) external;

    /// @notice Add an account or change its roles. The organisation's administrators only.
    function setAccount(bytes32 organisation, address account, uint8 roles) external;

    /// @notice Remove an account. The organisation's administrators only.
    function removeAccount(address account) external;

    /// @notice Give an organisation an administrator when it has lost its own. REGISTRAR only.
    function restoreAdmin(bytes32 organisation, address admin) external;

    /// @notice Which ingress contracts are told of changes; 0 for none. A decision of the board.
    function setIngresses(address nodeIngress, address accountIngress) external;

    /// @notice Whether a node (keccak256 of its 64-byte key) belongs to an organisation that is not suspended.
    function nodeAllowed(bytes32 node) external view returns (bool);

    /// @notice Roles that an account has now: READ 1, TRANSACT 2 (CALL and TRANSFER in one), DEPLOY 4, ADMIN 8, CALL 16,
    /// TRANSFER 32; 0 while suspended or unknown.
    function rolesOf(address account) external view returns (uint8);

    /// @notice The organisation of an account, suspended or not; 0 where there is none.
    function organisationOf(address account) external view returns (bytes32);
}
