// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ICompliance} from "./ICompliance.sol";

/// @title Controls, attestations and findings
/// @notice See {ICompliance}.
contract Compliance is ICompliance, AccessManagedUpgradeable, EIP712Upgradeable, UUPSUpgradeable {
    enum Signatory {
        Stranger,
        Named,
        Signed
    }

    /// @custom:storage-location erc7201:phoenix.storage.Compliance
    struct ComplianceStorage {
        mapping(bytes32 framework => bytes32) catalogues;
        mapping(bytes32 framework => mapping(bytes32 control => bytes32)) requirements;
        mapping(bytes32 pair => mapping(bytes32 byPair => bool)) mapped;
        mapping(uint256 id => Attestation) attestations;
        mapping(uint256 id => mapping(address => Signatory)) signatories;
        mapping(bytes32 claim => uint256) current;
        mapping(uint256 id => Finding) findings;
        mapping(bytes32 claim => uint256) blocking;
        uint256 attestationCount;
        uint256 findingCount;
    }

    bytes32 private constant STORAGE = 0x65d89303699cad8d9840b3fb30cba8e311d8db65814d029ebd895ad4c63a6d00;
    bytes32 private constant SIGN_OFF = keccak256(
        "SignOff(uint256 attestation,bytes32 subject,bytes32 framework,bytes32 control,bytes32 evidence,uint64 validFrom,uint64 validUntil)"
    );
    /// @dev Bounds the loop of `propose`.
    uint256 private constant SIGNATORIES_MAX = 16;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __AccessManaged_init(authority);
        __EIP712_init("PhoenixCompliance", "1");
        __UUPSUpgradeable_init();
    }

    /// @inheritdoc ICompliance
    function publishFramework(bytes32 framework, bytes32 catalogueHash) external restricted {
        ComplianceStorage storage $ = _storage();
        if (catalogueHash == 0) revert ComplianceUnknownFramework(framework);
        if ($.catalogues[framework] != 0) revert ComplianceFrameworkExists(framework);
        $.catalogues[framework] = catalogueHash;
        emit FrameworkPublished(framework, catalogueHash);
    }

    /// @inheritdoc ICompliance
    function addControls(bytes32 framework, bytes32[] calldata controls, bytes32[] calldata requirementHashes)
        external
        restricted
    {
        ComplianceStorage storage $ = _storage();
        if ($.catalogues[framework] == 0) revert ComplianceUnknownFramework(framework);
        if (controls.length != requirementHashes.length) {
            revert ComplianceLengthMismatch(controls.length, requirementHashes.length);
        }
        for (uint256 i = 0; i < controls.length; ++i) {
            if ($.requirements[framework][controls[i]] != 0) revert ComplianceControlExists(framework, controls[i]);
            if (requirementHashes[i] == 0) revert ComplianceUnknownControl(framework, controls[i]);
            $.requirements[framework][controls[i]] = requirementHashes[i];
            emit ControlAdded(framework, controls[i], requirementHashes[i]);
        }
    }

    /// @inheritdoc ICompliance
    function mapControl(bytes32 framework, bytes32 control, bytes32 byFramework, bytes32 byControl, bool holds)
        external
        restricted
    {
        ComplianceStorage storage $ = _storage();
        _requireControl($, framework, control);
        _requireControl($, byFramework, byControl);
        $.mapped[_pair(framework, control)][_pair(byFramework, byControl)] = holds;
        emit ControlsMapped(framework, control, byFramework, byControl, holds);
    }

    /// @inheritdoc ICompliance
    function propose(Statement calldata statement, address[] calldata signatories, uint8 required)
        external
        restricted
        returns (uint256 id)
    {
        ComplianceStorage storage $ = _storage();
        _requireControl($, statement.framework, statement.control);
        if (statement.validFrom >= statement.validUntil || statement.validUntil <= block.timestamp) {
            revert ComplianceEmptyValidity(statement.validFrom, statement.validUntil);
        }
        if (statement.validFrom > block.timestamp) revert ComplianceNotYetValid(statement.validFrom);
        if (signatories.length > SIGNATORIES_MAX) {
            revert ComplianceTooManySignatories(signatories.length, SIGNATORIES_MAX);
        }
        if (required == 0 || required > signatories.length) {
            revert ComplianceRequiredOutOfRange(required, signatories.length);
        }
        id = ++$.attestationCount;
        for (uint256 i = 0; i < signatories.length; ++i) {
            address signatory = signatories[i];
            bool bad = signatory == address(0) || signatory == msg.sender
                || $.signatories[id][signatory] != Signatory.Stranger;
            if (bad) revert ComplianceBadSignatory(signatory);
            $.signatories[id][signatory] = Signatory.Named;
        }
        $.attestations[id] = Attestation({
            statement: statement,
            assessor: msg.sender,
            required: required,
            signed: 0,
            status: AttestationStatus.Pending
        });
        emit AttestationProposed(id, statement.subject, msg.sender, statement, required);
    }

    /// @inheritdoc ICompliance
    function signOff(uint256 id) external {
        _sign(id, msg.sender);
    }

    /// @inheritdoc ICompliance
    function signOffFor(uint256 id, address signatory, bytes calldata signature) external {
        if (!SignatureChecker.isValidSignatureNow(signatory, signOffDigest(id), signature)) {
            revert ComplianceBadSignature(id, signatory);
        }
        _sign(id, signatory);
    }

    /// @inheritdoc ICompliance
    function revoke(uint256 id, bytes32 reason) external {
        if (_storage().attestations[id].assessor != msg.sender) revert ComplianceNotAssessor(id, msg.sender);
        _revoke(id, reason);
    }

    /// @inheritdoc ICompliance
    function annul(uint256 id, bytes32 reason) external restricted {
        _revoke(id, reason);
    }

    /// @inheritdoc ICompliance
    function raiseFinding(
        bytes32 subject,
        bytes32 framework,
        bytes32 control,
        bytes32 evidence,
        address owner,
        uint64 dueAt,
        Severity severity
    ) external restricted returns (uint256 id) {
        ComplianceStorage storage $ = _storage();
        _requireControl($, framework, control);
        if (dueAt <= block.timestamp) revert ComplianceDueInThePast(dueAt);
        id = ++$.findingCount;
        $.findings[id] = Finding({
            subject: subject,
            framework: framework,
            control: control,
            evidence: evidence,
            assessor: msg.sender,
            owner: owner,
            dueAt: dueAt,
            severity: severity,
            status: FindingStatus.Open
        });
        if (severity >= Severity.High) $.blocking[_claim(subject, framework, control)] += 1;
        emit FindingRaised(id, subject, owner, severity);
    }

    /// @inheritdoc ICompliance
    function remediate(uint256 id, bytes32 evidence) external {
        Finding storage it = _storage().findings[id];
        if (it.owner != msg.sender) revert ComplianceNotOwner(id, msg.sender);
        if (it.status != FindingStatus.Open) revert ComplianceWrongFindingStatus(id, it.status);
        it.status = FindingStatus.Remediated;
        it.evidence = evidence;
        emit FindingRemediated(id, evidence);
    }

    /// @inheritdoc ICompliance
    function closeFinding(uint256 id) external {
        ComplianceStorage storage $ = _storage();
        Finding storage it = _judged(id);
        it.status = FindingStatus.Closed;
        if (it.severity >= Severity.High) $.blocking[_claim(it.subject, it.framework, it.control)] -= 1;
        emit FindingClosed(id);
    }

    /// @inheritdoc ICompliance
    function reopenFinding(uint256 id, bytes32 reason) external {
        _judged(id).status = FindingStatus.Open;
        emit FindingReopened(id, reason);
    }

    /// @inheritdoc ICompliance
    function isMet(bytes32 subject, bytes32 framework, bytes32 control) public view returns (bool) {
        ComplianceStorage storage $ = _storage();
        bytes32 claim = _claim(subject, framework, control);
        Attestation storage it = $.attestations[$.current[claim]];
        return it.status == AttestationStatus.Effective && block.timestamp < it.statement.validUntil
            && $.blocking[claim] == 0;
    }

    /// @inheritdoc ICompliance
    function isMetBy(bytes32 subject, bytes32 framework, bytes32 control, bytes32 byFramework, bytes32 byControl)
        external
        view
        returns (bool)
    {
        ComplianceStorage storage $ = _storage();
        return $.mapped[_pair(framework, control)][_pair(byFramework, byControl)]
            && $.blocking[_claim(subject, framework, control)] == 0 && isMet(subject, byFramework, byControl);
    }

    /// @inheritdoc ICompliance
    function blockingFindings(bytes32 subject, bytes32 framework, bytes32 control) external view returns (uint256) {
        return _storage().blocking[_claim(subject, framework, control)];
    }

    /// @inheritdoc ICompliance
    function signOffDigest(uint256 id) public view returns (bytes32) {
        Statement memory it = _storage().attestations[id].statement;
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    SIGN_OFF, id, it.subject, it.framework, it.control, it.evidence, it.validFrom, it.validUntil
                )
            )
        );
    }

    /// @inheritdoc ICompliance
    function attestation(uint256 id) external view returns (Attestation memory) {
        return _storage().attestations[id];
    }

    /// @inheritdoc ICompliance
    function finding(uint256 id) external view returns (Finding memory) {
        return _storage().findings[id];
    }

    /// @inheritdoc ICompliance
    function isOverdue(uint256 id) external view returns (bool) {
        Finding storage it = _storage().findings[id];
        return (it.status == FindingStatus.Open || it.status == FindingStatus.Remediated)
            && it.dueAt <= block.timestamp;
    }

    /// @inheritdoc ICompliance
    function requirementOf(bytes32 framework, bytes32 control) external view returns (bytes32) {
        return _storage().requirements[framework][control];
    }

    /// @dev Upgrades come through the authority only: the governance timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    function _sign(uint256 id, address signatory) private {
        ComplianceStorage storage $ = _storage();
        Attestation storage it = $.attestations[id];
        if (it.status != AttestationStatus.Pending) revert ComplianceNotPending(id);
        Signatory state = $.signatories[id][signatory];
        if (state == Signatory.Stranger) revert ComplianceNotSignatory(id, signatory);
        if (state == Signatory.Signed) revert ComplianceAlreadySigned(id, signatory);
        $.signatories[id][signatory] = Signatory.Signed;
        it.signed += 1;
        emit AttestationSigned(id, signatory);
        if (it.signed == it.required) {
            Statement storage said = it.statement;
            it.status = AttestationStatus.Effective;
            $.current[_claim(said.subject, said.framework, said.control)] = id;
            emit AttestationEffective(id, said.subject, said.framework, said.control);
        }
    }

    function _revoke(uint256 id, bytes32 reason) private {
        Attestation storage it = _storage().attestations[id];
        if (it.status != AttestationStatus.Pending && it.status != AttestationStatus.Effective) {
            revert ComplianceNotRevocable(id);
        }
        it.status = AttestationStatus.Revoked;
        emit AttestationRevoked(id, msg.sender, reason);
    }

    /// @dev The finding, remediated, before the assessor who raised it.
    function _judged(uint256 id) private view returns (Finding storage it) {
        it = _storage().findings[id];
        if (it.assessor != msg.sender) revert ComplianceNotAssessor(id, msg.sender);
        if (it.status != FindingStatus.Remediated) revert ComplianceWrongFindingStatus(id, it.status);
    }

    function _requireControl(ComplianceStorage storage $, bytes32 framework, bytes32 control) private view {
        if ($.requirements[framework][control] == 0) revert ComplianceUnknownControl(framework, control);
    }

    function _pair(bytes32 framework, bytes32 control) private pure returns (bytes32) {
        return keccak256(abi.encode(framework, control));
    }

    function _claim(bytes32 subject, bytes32 framework, bytes32 control) private pure returns (bytes32) {
        return keccak256(abi.encode(subject, framework, control));
    }

    function _storage() private pure returns (ComplianceStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
