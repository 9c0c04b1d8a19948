// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Provenance of hardware
/// @notice From the manufacturer's signed birth certificate to decommissioning. Every fact about a component is one
/// `Recorded` event with the component as first topic, so its history is one log query; every event carries its
/// place and is folded into a hash chain whose head is on chain, so the history can be proved complete.
/// Serial numbers appear only as commitments keccak256(serial || salt): destroy the salt and the number is gone.
interface IProvenance {
    enum Fact {
        Born,
        TransferOffered,
        TransferAccepted,
        TransferCancelled,
        Assembled,
        Disassembled,
        Inspected,
        FirmwareAttested,
        Recalled,
        RecallCleared,
        Scanned,
        Decommissioned
    }

    enum Status {
        Unknown,
        InUse,
        Decommissioned
    }

    /// @notice What a manufacturer signs of one component.
    struct Birth {
        /// @notice keccak256(abi.encodePacked(serial, salt)).
        bytes32 serialCommitment;
        /// @notice Id of the model.
        bytes32 model;
        /// @notice Hash of the birth certificate as kept off chain.
        bytes32 certificate;
    }

    struct Component {
        address manufacturer;
        Status status;
        bool recalled;
        /// @notice Facts recorded so far.
        uint64 facts;
        /// @notice Who holds it; of an assembled component, who held it when it was assembled (see `custodianOf`).
        address custodian;
        /// @notice Who was offered custody; zero when nobody.
        address offeredTo;
        bytes32 model;
        bytes32 serialCommitment;
        /// @notice What it is assembled into; zero when nothing.
        bytes32 parent;
        /// @notice Components assembled into it.
        uint64 children;
        /// @notice At most this many levels of parts below it (parts taken out again still count).
        uint8 height;
        /// @notice head = keccak256(previous head, number, fact, actor, subject, detail).
        bytes32 head;
    }

    /// @notice A fact about one component. `number` counts from 0 without gaps.
    event Recorded(
        bytes32 indexed component,
        Fact indexed fact,
        address indexed actor,
        uint256 number,
        bytes32 subject,
        bytes32 detail
    );
    event ManufacturerApproved(address indexed manufacturer, bytes32 nameHash);
    event ManufacturerWithdrawn(address indexed manufacturer);
    event LotRegistered(address indexed manufacturer, bytes32 indexed root, uint64 size, bytes32 documentHash);
    event ModelRecalled(address indexed manufacturer, bytes32 indexed model, bytes32 reason);
    event ModelRecallCleared(address indexed manufacturer, bytes32 indexed model, bytes32 reason);
    event ScansAnchored(
        uint256 indexed batch,
        bytes32 indexed place,
        address indexed scanner,
        bytes32 root,
        uint64 size,
        bytes32 documentHash
    );

    error ProvenanceUnknownManufacturer(address manufacturer);
    error ProvenanceManufacturerExists(address manufacturer);
    error ProvenanceBadSignature(address manufacturer);
    error ProvenanceAlreadyBorn(bytes32 component);
    error ProvenanceLotExists(bytes32 root);
    error ProvenanceUnknownLot(address manufacturer, bytes32 root);
    error ProvenanceNotInLot(bytes32 root, uint256 index);
    error ProvenanceUnknownComponent(bytes32 component);
    error ProvenanceDecommissioned(bytes32 component);
    error ProvenanceNotCustodian(bytes32 component, address caller);
    error ProvenanceNotOffered(bytes32 component, address caller);
    error ProvenanceAlreadyOffered(bytes32 component, address offeredTo);
    error ProvenanceBadRecipient(address recipient);
    error ProvenanceAssembled(bytes32 component, bytes32 parent);
    error ProvenanceNotAssembled(bytes32 component, bytes32 parent);
    error ProvenanceHasChildren(bytes32 component, uint64 children);
    error ProvenanceCycle(bytes32 component, bytes32 parent);
    error ProvenanceTooDeep(bytes32 component);
    error ProvenanceNotManufacturer(bytes32 component, address caller);
    error ProvenanceNotRecalled(bytes32 component);
    error ProvenanceAlreadyRecalled(bytes32 component);
    error ProvenanceEmptyBatch();

    /// @notice Admit a manufacturer's key. Restricted.
    function approveManufacturer(address manufacturer, bytes32 nameHash) external;
    /// @notice No births by this key from now on; what it made stays. Restricted.
    function withdrawManufacturer(address manufacturer) external;

    /// @notice Manufacturer: record births; it becomes the custodian.
    function bear(Birth[] calldata births) external;
    /// @notice Record a birth by the manufacturer's EIP-712 signature (type Birth, see `birthDigest`).
    function bearFor(address manufacturer, Birth calldata birth, bytes calldata signature) external;
    /// @notice Manufacturer: commit to a lot of births by Merkle root; each is recorded when it is first needed.
    function registerLot(bytes32 root, uint64 size, bytes32 documentHash) external;
    /// @notice Record a birth that stands in a registered lot. Anyone who has the proof may.
    function bearFromLot(
        address manufacturer,
        bytes32 root,
        Birth calldata birth,
        uint256 index,
        bytes32[] calldata proof
    ) external;

    /// @notice Custodian: offer custody.
    function offerTransfer(bytes32[] calldata components, address to, bytes32 waybill) external;
    /// @notice Recipient: accept custody.
    function acceptTransfer(bytes32[] calldata components, bytes32 receipt) external;
    /// @notice Custodian: take the offer back; recipient: refuse it.
    function cancelTransfer(bytes32[] calldata components, bytes32 reason) external;
    /// @notice Custodian of all of them: put components into a parent.
    function assemble(bytes32 parent, bytes32[] calldata components) external;
    /// @notice Custodian: take components out of their parent.
    function disassemble(bytes32 parent, bytes32[] calldata components) external;
    /// @notice Record an inspection. Restricted to inspectors.
    function inspect(bytes32 id, bool passed, bytes32 report) external;
    /// @notice Custodian: attest which firmware runs. `evidence`: hash of the measurement or quote.
    function attestFirmware(bytes32 id, bytes32 firmware, bytes32 evidence) external;
    /// @notice Manufacturer: recall a component.
    function recall(bytes32 id, bytes32 reason) external;
    /// @notice Manufacturer: the recalled component is sound again.
    function clearRecall(bytes32 id, bytes32 reason) external;
    /// @notice Manufacturer: recall a whole model in one transaction.
    function recallModel(bytes32 model, bytes32 reason) external;
    /// @notice Manufacturer: clear a model.
    function clearModelRecall(bytes32 model, bytes32 reason) external;
    /// @notice Custodian: end the life of a component without children and outside any parent.
    function decommission(bytes32 id, bytes32 evidence) external;

    /// @notice Record scans at a place, each in its component's history. Restricted to scanners.
    function scan(bytes32[] calldata components, bytes32 place) external;
    /// @notice Anchor scans by Merkle root only. Restricted to scanners.
    function anchorScans(bytes32 place, bytes32 root, uint64 size, bytes32 documentHash)
        external
        returns (uint256 batch);

    /// @notice Id of a component: keccak256(abi.encode(manufacturer, serialCommitment)).
    function componentId(address manufacturer, bytes32 serialCommitment) external pure returns (bytes32);
    /// @notice What a manufacturer signs.
    function birthDigest(Birth calldata birth) external view returns (bytes32);
    function component(bytes32 id) external view returns (Component memory);
    /// @notice Who holds the component: the custodian of the outermost thing it is part of.
    function custodianOf(bytes32 id) external view returns (address);
    /// @notice Whether the component, its model, or anything around it is recalled.
    function isRecalled(bytes32 id) external view returns (bool);
    /// @notice Whether serial and salt open the component's commitment.
    function isAuthentic(bytes32 id, bytes calldata serial, bytes32 salt) external view returns (bool);
    /// @notice Whether `entry` is entry `index` of an anchored batch of scans.
    function verifyScan(uint256 batch, bytes32 entry, uint256 index, bytes32[] calldata proof)
        external
        view
        returns (bool);
    function isManufacturer(address who) external view returns (bool);
}
