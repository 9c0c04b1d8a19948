// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Sovereign identities by the rules of ERC-1056, so that resolvers of did:ethr work unchanged
/// @notice Every address is an identity and its own owner until it says otherwise. Nobody governs this contract: no
/// role, no pause, no upgrade. History is a list of events; `changed` names the block of the latest one, and each
/// event that of the one before. Put nothing personal into an attribute: what is written cannot be erased. Keys and
/// service endpoints of organisations belong here, a person's data off chain.
contract EthereumDIDRegistry {
    mapping(address identity => address) public owners;
    mapping(address identity => mapping(bytes32 kind => mapping(address delegate => uint256 validTo))) public delegates;
    /// @notice The block of an identity's latest event; 0 before the first.
    mapping(address identity => uint256) public changed;
    /// @notice How many messages an address has signed: the nonce of its next.
    mapping(address signer => uint256) public nonce;

    event DIDOwnerChanged(address indexed identity, address owner, uint256 previousChange);
    event DIDDelegateChanged(
        address indexed identity, bytes32 delegateType, address delegate, uint256 validTo, uint256 previousChange
    );
    event DIDAttributeChanged(
        address indexed identity, bytes32 name, bytes value, uint256 validTo, uint256 previousChange
    );

    modifier onlyOwner(address identity, address actor) {
        require(actor == identityOwner(identity), "bad_actor");
        _;
    }

    /// @notice Who speaks for an identity: itself until it is handed over.
    function identityOwner(address identity) public view returns (address) {
        address owner = owners[identity];
        return owner == address(0) ? identity : owner;
    }

    /// @notice Whether a delegate of this kind is valid now.
    function validDelegate(address identity, bytes32 delegateType, address delegate) public view returns (bool) {
        return delegates[identity][keccak256(abi.encodePacked(delegateType))][delegate] > block.timestamp;
    }

    /// @notice Hand an identity over.
    function changeOwner(address identity, address newOwner) external {
        _changeOwner(identity, msg.sender, newOwner);
    }

    /// @notice The same, signed by the owner and sent by anybody.
    function changeOwnerSigned(address identity, uint8 sigV, bytes32 sigR, bytes32 sigS, address newOwner) external {
        bytes memory message = abi.encodePacked("changeOwner", newOwner);
        _changeOwner(identity, _signer(identity, sigV, sigR, sigS, message), newOwner);
    }

    /// @notice Let a delegate act in one capacity for `validity` seconds.
    function addDelegate(address identity, bytes32 delegateType, address delegate, uint256 validity) external {
        _addDelegate(identity, msg.sender, delegateType, delegate, validity);
    }

    /// @notice The same, signed by the owner and sent by anybody.
    function addDelegateSigned(
        address identity, uint8 sigV, bytes32 sigR, bytes32 sigS, bytes32 delegateType, address delegate, uint256 validity
    ) external {
        bytes memory message = abi.encodePacked("addDelegate", delegateType, delegate, validity);
        _addDelegate(identity, _signer(identity, sigV, sigR, sigS, message), delegateType, delegate, validity);
    }

    /// @notice End a delegation.
    function revokeDelegate(address identity, bytes32 delegateType, address delegate) external {
        _revokeDelegate(identity, msg.sender, delegateType, delegate);
    }

    /// @notice The same, signed by the owner and sent by anybody.
    function revokeDelegateSigned(
        address identity, uint8 sigV, bytes32 sigR, bytes32 sigS, bytes32 delegateType, address delegate
    ) external {
        bytes memory message = abi.encodePacked("revokeDelegate", delegateType, delegate);
        _revokeDelegate(identity, _signer(identity, sigV, sigR, sigS, message), delegateType, delegate);
    }

    /// @notice State an attribute for `validity` seconds.
    function setAttribute(address identity, bytes32 name, bytes calldata value, uint256 validity) external {
        _setAttribute(identity, msg.sender, name, value, validity);
    }

    /// @notice The same, signed by the owner and sent by anybody.
    function setAttributeSigned(
        address identity, uint8 sigV, bytes32 sigR, bytes32 sigS, bytes32 name, bytes calldata value, uint256 validity
    ) external {
        bytes memory message = abi.encodePacked("setAttribute", name, value, validity);
        _setAttribute(identity, _signer(identity, sigV, sigR, sigS, message), name, value, validity);
    }

    /// @notice Take an attribute back.
    function revokeAttribute(address identity, bytes32 name, bytes calldata value) external {
        _revokeAttribute(identity, msg.sender, name, value);
    }

    /// @notice The same, signed by the owner and sent by anybody.
    function revokeAttributeSigned(
        address identity, uint8 sigV, bytes32 sigR, bytes32 sigS, bytes32 name, bytes calldata value
    ) external {
        bytes memory message = abi.encodePacked("revokeAttribute", name, value);
        _revokeAttribute(identity, _signer(identity, sigV, sigR, sigS, message), name, value);
    }

    function _changeOwner(address identity, address actor, address newOwner) private onlyOwner(identity, actor) {
        owners[identity] = newOwner;
        emit DIDOwnerChanged(identity, newOwner, changed[identity]);
        changed[identity] = block.number;
    }

    function _addDelegate(address identity, address actor, bytes32 delegateType, address delegate, uint256 validity)
        private
        onlyOwner(identity, actor)
    {
        uint256 validTo = block.timestamp + validity;
        delegates[identity][keccak256(abi.encodePacked(delegateType))][delegate] = validTo;
        emit DIDDelegateChanged(identity, delegateType, delegate, validTo, changed[identity]);
        changed[identity] = block.number;
    }

    function _revokeDelegate(address identity, address actor, bytes32 delegateType, address delegate)
        private
        onlyOwner(identity, actor)
    {
        delegates[identity][keccak256(abi.encodePacked(delegateType))][delegate] = block.timestamp;
        emit DIDDelegateChanged(identity, delegateType, delegate, block.timestamp, changed[identity]);
        changed[identity] = block.number;
    }

    function _setAttribute(address identity, address actor, bytes32 name, bytes calldata value, uint256 validity)
        private
        onlyOwner(identity, actor)
    {
        emit DIDAttributeChanged(identity, name, value, block.timestamp + validity, changed[identity]);
        changed[identity] = block.number;
    }

    function _revokeAttribute(address identity, address actor, bytes32 name, bytes calldata value)
        private
        onlyOwner(identity, actor)
    {
        emit DIDAttributeChanged(identity, name, value, 0, changed[identity]);
        changed[identity] = block.number;
    }

    /// @dev ERC-191 data for this validator: 0x19 0x00, this contract, the owner's nonce, the identity, the message.
    function _signer(address identity, uint8 sigV, bytes32 sigR, bytes32 sigS, bytes memory message)
        private
        returns (address signer)
    {
        address owner = identityOwner(identity);
        bytes32 digest =
            keccak256(abi.encodePacked(bytes1(0x19), bytes1(0), address(this), nonce[owner], identity, message));
        signer = ecrecover(digest, sigV, sigR, sigS);
        require(signer != address(0) && signer == owner, "bad_signature");
        nonce[signer]++;
    }
}
