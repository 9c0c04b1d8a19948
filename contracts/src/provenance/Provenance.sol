// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {MerkleLog} from "../compliance/MerkleLog.sol";
import {IProvenance} from "./IProvenance.sol";

/// @title Provenance of hardware
/// @notice See {IProvenance}.
contract Provenance is IProvenance, AccessManagedUpgradeable, EIP712Upgradeable, UUPSUpgradeable {
    struct ScanBatch {
        bytes32 root;
        uint64 size;
    }

    /// @custom:storage-location erc7201:phoenix.storage.Provenance
    struct ProvenanceStorage {
        mapping(address manufacturer => bool) manufacturers;
        mapping(address manufacturer => mapping(bytes32 root => uint64)) lots;
        mapping(address manufacturer => mapping(bytes32 model => bool)) recalledModels;
        mapping(bytes32 id => Component) components;
        mapping(uint256 batch => ScanBatch) scans;
        uint256 scanCount;
    }

    bytes32 private constant STORAGE = 0x1d70f95ea0879039a8255ffb43224ed918accf7ca0a22761b680d57cff2df700;
    bytes32 private constant BIRTH = keccak256("Birth(bytes32 serialCommitment,bytes32 model,bytes32 certificate)");
    /// @dev Rack, chassis, board, module, chip: deeper nesting is a mistake, and would make each look upwards dear.
    uint256 private constant DEPTH_MAX = 8;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __AccessManaged_init(authority);
        __EIP712_init("PhoenixProvenance", "1");
        __UUPSUpgradeable_init();
    }

    /// @inheritdoc IProvenance
    function approveManufacturer(address manufacturer, bytes32 nameHash) external restricted {
        ProvenanceStorage storage $ = _storage();
        if (manufacturer == address(0)) revert ProvenanceUnknownManufacturer(manufacturer);
        if ($.manufacturers[manufacturer]) revert ProvenanceManufacturerExists(manufacturer);
        $.manufacturers[manufacturer] = true;
        emit ManufacturerApproved(manufacturer, nameHash);
    }

    /// @inheritdoc IProvenance
    function withdrawManufacturer(address manufacturer) external restricted {
        _requireManufacturer(manufacturer);
        delete _storage().manufacturers[manufacturer];
        emit ManufacturerWithdrawn(manufacturer);
    }

    /// @inheritdoc IProvenance
    function bear(Birth[] calldata births) external {
        _requireManufacturer(msg.sender);
        if (births.length == 0) revert ProvenanceEmptyBatch();
        for (uint256 i = 0; i < births.length; ++i) {
            _bear(msg.sender, births[i]);
        }
    }

    /// @inheritdoc IProvenance
    function bearFor(address manufacturer, Birth calldata birth, bytes calldata signature) external {
        _requireManufacturer(manufacturer);
        if (!SignatureChecker.isValidSignatureNow(manufacturer, birthDigest(birth), signature)) {
            revert ProvenanceBadSignature(manufacturer);
        }
        _bear(manufacturer, birth);
    }

    /// @inheritdoc IProvenance
    function registerLot(bytes32 root, uint64 size, bytes32 documentHash) external {
        _requireManufacturer(msg.sender);
        ProvenanceStorage storage $ = _storage();
        if (size == 0) revert ProvenanceEmptyBatch();
        if ($.lots[msg.sender][root] != 0) revert ProvenanceLotExists(root);
        $.lots[msg.sender][root] = size;
        emit LotRegistered(msg.sender, root, size, documentHash);
    }

    /// @inheritdoc IProvenance
    function bearFromLot(
        address manufacturer,
        bytes32 root,
        Birth calldata birth,
        uint256 index,
        bytes32[] calldata proof
    ) external {
        // A lot outlives its maker's approval: it was committed to while the approval stood.
        uint64 size = _storage().lots[manufacturer][root];
        if (size == 0) revert ProvenanceUnknownLot(manufacturer, root);
        bytes32 leaf = MerkleLog.leafOf(keccak256(abi.encode(birth)));
        if (!MerkleLog.includes(root, size, leaf, index, proof)) revert ProvenanceNotInLot(root, index);
        _bear(manufacturer, birth);
    }

    /// @inheritdoc IProvenance
    function offerTransfer(bytes32[] calldata components, address to, bytes32 waybill) external {
        if (to == address(0) || to == msg.sender) revert ProvenanceBadRecipient(to);
        for (uint256 i = 0; i < components.length; ++i) {
            Component storage it = _heldLoose(components[i]);
            if (it.offeredTo != address(0)) revert ProvenanceAlreadyOffered(components[i], it.offeredTo);
            it.offeredTo = to;
            _record(components[i], it, Fact.TransferOffered, bytes32(uint256(uint160(to))), waybill);
        }
    }

    /// @inheritdoc IProvenance
    function acceptTransfer(bytes32[] calldata components, bytes32 receipt) external {
        for (uint256 i = 0; i < components.length; ++i) {
            Component storage it = _living(components[i]);
            if (it.offeredTo != msg.sender) revert ProvenanceNotOffered(components[i], msg.sender);
            bytes32 from = bytes32(uint256(uint160(it.custodian)));
            it.custodian = msg.sender;
            it.offeredTo = address(0);
            _record(components[i], it, Fact.TransferAccepted, from, receipt);
        }
    }

    /// @inheritdoc IProvenance
    function cancelTransfer(bytes32[] calldata components, bytes32 reason) external {
        for (uint256 i = 0; i < components.length; ++i) {
            Component storage it = _living(components[i]);
            address to = it.offeredTo;
            bool party = msg.sender == to || msg.sender == it.custodian;
            if (to == address(0) || !party) revert ProvenanceNotOffered(components[i], msg.sender);
            it.offeredTo = address(0);
            _record(components[i], it, Fact.TransferCancelled, bytes32(uint256(uint160(to))), reason);
        }
    }

    /// @inheritdoc IProvenance
    function assemble(bytes32 parent, bytes32[] calldata components) external {
        Component storage whole = _held(parent);
        // On offer, what is inside is what the recipient was shown.
        if (whole.offeredTo != address(0)) revert ProvenanceAlreadyOffered(parent, whole.offeredTo);
        for (uint256 i = 0; i < components.length; ++i) {
            Component storage it = _heldLoose(components[i]);
            if (it.offeredTo != address(0)) revert ProvenanceAlreadyOffered(components[i], it.offeredTo);
            _deepen(parent, components[i], it.height);
            it.parent = parent;
            whole.children += 1;
            _record(components[i], it, Fact.Assembled, parent, 0);
            _record(parent, whole, Fact.Assembled, components[i], 0);
        }
    }

    /// @inheritdoc IProvenance
    function disassemble(bytes32 parent, bytes32[] calldata components) external {
        Component storage whole = _held(parent);
        for (uint256 i = 0; i < components.length; ++i) {
            Component storage it = _living(components[i]);
            if (it.parent != parent) revert ProvenanceNotAssembled(components[i], parent);
            it.parent = 0;
            // The whole may have changed hands since: its parts went with it.
            it.custodian = msg.sender;
            whole.children -= 1;
            _record(components[i], it, Fact.Disassembled, parent, 0);
            _record(parent, whole, Fact.Disassembled, components[i], 0);
        }
    }

    /// @inheritdoc IProvenance
    function inspect(bytes32 id, bool passed, bytes32 report) external restricted {
        _record(id, _living(id), Fact.Inspected, bytes32(uint256(passed ? 1 : 0)), report);
    }

    /// @inheritdoc IProvenance
    function attestFirmware(bytes32 id, bytes32 firmware, bytes32 evidence) external {
        _record(id, _held(id), Fact.FirmwareAttested, firmware, evidence);
    }

    /// @inheritdoc IProvenance
    function recall(bytes32 id, bytes32 reason) external {
        Component storage it = _made(id);
        if (it.recalled) revert ProvenanceAlreadyRecalled(id);
        it.recalled = true;
        _record(id, it, Fact.Recalled, 0, reason);
    }

    /// @inheritdoc IProvenance
    function clearRecall(bytes32 id, bytes32 reason) external {
        Component storage it = _made(id);
        if (!it.recalled) revert ProvenanceNotRecalled(id);
        it.recalled = false;
        _record(id, it, Fact.RecallCleared, 0, reason);
    }

    /// @inheritdoc IProvenance
    function recallModel(bytes32 model, bytes32 reason) external {
        _requireManufacturer(msg.sender);
        mapping(bytes32 => bool) storage models = _storage().recalledModels[msg.sender];
        if (models[model]) revert ProvenanceAlreadyRecalled(model);
        models[model] = true;
        emit ModelRecalled(msg.sender, model, reason);
    }

    /// @inheritdoc IProvenance
    function clearModelRecall(bytes32 model, bytes32 reason) external {
        mapping(bytes32 => bool) storage models = _storage().recalledModels[msg.sender];
        if (!models[model]) revert ProvenanceNotRecalled(model);
        models[model] = false;
        emit ModelRecallCleared(msg.sender, model, reason);
    }

    /// @inheritdoc IProvenance
    function decommission(bytes32 id, bytes32 evidence) external {
        Component storage it = _heldLoose(id);
        if (it.offeredTo != address(0)) revert ProvenanceAlreadyOffered(id, it.offeredTo);
        if (it.children != 0) revert ProvenanceHasChildren(id, it.children);
        it.status = Status.Decommissioned;
        _record(id, it, Fact.Decommissioned, 0, evidence);
    }

    /// @inheritdoc IProvenance
    function scan(bytes32[] calldata components, bytes32 place) external restricted {
        if (components.length == 0) revert ProvenanceEmptyBatch();
        for (uint256 i = 0; i < components.length; ++i) {
            _record(components[i], _living(components[i]), Fact.Scanned, place, 0);
        }
    }

    /// @inheritdoc IProvenance
    function anchorScans(bytes32 place, bytes32 root, uint64 size, bytes32 documentHash)
        external
        restricted
        returns (uint256 batch)
    {
        ProvenanceStorage storage $ = _storage();
        if (size == 0) revert ProvenanceEmptyBatch();
        batch = ++$.scanCount;
        $.scans[batch] = ScanBatch({root: root, size: size});
        emit ScansAnchored(batch, place, msg.sender, root, size, documentHash);
    }

    /// @inheritdoc IProvenance
    function componentId(address manufacturer, bytes32 serialCommitment) public pure returns (bytes32) {
        return keccak256(abi.encode(manufacturer, serialCommitment));
    }

    /// @inheritdoc IProvenance
    function birthDigest(Birth calldata birth) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(abi.encode(BIRTH, birth.serialCommitment, birth.model, birth.certificate))
        );
    }

    /// @inheritdoc IProvenance
    function component(bytes32 id) external view returns (Component memory) {
        return _storage().components[id];
    }

    /// @inheritdoc IProvenance
    function custodianOf(bytes32 id) public view returns (address) {
        ProvenanceStorage storage $ = _storage();
        for (bytes32 above = $.components[id].parent; above != 0; above = $.components[id].parent) {
            id = above;
        }
        return $.components[id].custodian;
    }

    /// @inheritdoc IProvenance
    function isRecalled(bytes32 id) external view returns (bool) {
        ProvenanceStorage storage $ = _storage();
        while (id != 0) {
            Component storage it = $.components[id];
            if (it.recalled || $.recalledModels[it.manufacturer][it.model]) return true;
            id = it.parent;
        }
        return false;
    }

    /// @inheritdoc IProvenance
    function isAuthentic(bytes32 id, bytes calldata serial, bytes32 salt) external view returns (bool) {
        Component storage it = _storage().components[id];
        return it.status != Status.Unknown && keccak256(abi.encodePacked(serial, salt)) == it.serialCommitment;
    }

    /// @inheritdoc IProvenance
    function verifyScan(uint256 batch, bytes32 entry, uint256 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        ScanBatch storage it = _storage().scans[batch];
        return MerkleLog.includes(it.root, it.size, MerkleLog.leafOf(entry), index, proof);
    }

    /// @inheritdoc IProvenance
    function isManufacturer(address who) external view returns (bool) {
        return _storage().manufacturers[who];
    }

    /// @dev Upgrades come through the authority only: the governance timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    function _bear(address manufacturer, Birth calldata birth) private {
        bytes32 id = componentId(manufacturer, birth.serialCommitment);
        Component storage it = _storage().components[id];
        if (it.status != Status.Unknown) revert ProvenanceAlreadyBorn(id);
        it.manufacturer = manufacturer;
        it.status = Status.InUse;
        it.custodian = manufacturer;
        it.model = birth.model;
        it.serialCommitment = birth.serialCommitment;
        _record(id, it, Fact.Born, birth.model, birth.certificate);
    }

    function _record(bytes32 id, Component storage it, Fact fact, bytes32 subject, bytes32 detail) private {
        uint256 number = it.facts;
        it.facts = uint64(number + 1);
        it.head = keccak256(abi.encode(it.head, number, fact, msg.sender, subject, detail));
        emit Recorded(id, fact, msg.sender, number, subject, detail);
    }

    /// @dev `parent` and what surrounds it must not lie within `id`, and all of it must stay shallow: every look upwards
    /// (custody, recall) is a loop over the levels.
    function _deepen(bytes32 parent, bytes32 id, uint8 height) private {
        ProvenanceStorage storage $ = _storage();
        uint256 levels = height;
        for (bytes32 above = parent; above != 0; above = $.components[above].parent) {
            if (above == id) revert ProvenanceCycle(id, parent);
            if (++levels == DEPTH_MAX) revert ProvenanceTooDeep(parent);
            if ($.components[above].height < levels) $.components[above].height = uint8(levels);
        }
    }

    function _living(bytes32 id) private view returns (Component storage it) {
        it = _storage().components[id];
        if (it.status == Status.Unknown) revert ProvenanceUnknownComponent(id);
        if (it.status == Status.Decommissioned) revert ProvenanceDecommissioned(id);
    }

    function _held(bytes32 id) private view returns (Component storage it) {
        it = _living(id);
        if (custodianOf(id) != msg.sender) revert ProvenanceNotCustodian(id, msg.sender);
    }

    function _heldLoose(bytes32 id) private view returns (Component storage it) {
        it = _held(id);
        if (it.parent != 0) revert ProvenanceAssembled(id, it.parent);
    }

    function _made(bytes32 id) private view returns (Component storage it) {
        it = _living(id);
        if (it.manufacturer != msg.sender) revert ProvenanceNotManufacturer(id, msg.sender);
    }

    function _requireManufacturer(address who) private view {
        if (!_storage().manufacturers[who]) revert ProvenanceUnknownManufacturer(who);
    }

    function _storage() private pure returns (ProvenanceStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
