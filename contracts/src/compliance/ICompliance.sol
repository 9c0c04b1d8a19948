// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Controls, attestations and findings
/// @notice Frameworks (SOC 2, ISO 27001, GDPR, PCI-DSS, HIPAA, or a member's own) are data: an id, controls by id, and
/// mappings between controls. An attestation says that a subject meets a control; it takes effect when enough of
/// its named signatories have signed. A finding of high or critical severity suspends what the attestation said until
/// it is remedied. Subjects, evidence and reasons are hashes; whoever holds the documents can destroy them.
interface ICompliance {
    enum AttestationStatus {
        None,
        Pending,
        Effective,
        Revoked
    }

    enum Severity {
        Low,
        Medium,
        High,
        Critical
    }

    enum FindingStatus {
        None,
        Open,
        Remediated,
        Closed
    }

    /// @notice What is attested.
    struct Statement {
        /// @notice Who or what is attested: a site, tenant or system, by hash.
        bytes32 subject;
        bytes32 framework;
        bytes32 control;
        /// @notice Hash of the evidence.
        bytes32 evidence;
        /// @notice Seconds since the Unix epoch; the first second of validity, never in the future: the newest
        /// attestation of a control replaces the one before.
        uint64 validFrom;
        /// @notice Seconds since the Unix epoch; the first second after validity.
        uint64 validUntil;
    }

    struct Attestation {
        Statement statement;
        address assessor;
        /// @notice Signatures needed.
        uint8 required;
        /// @notice Signatures given.
        uint8 signed;
        AttestationStatus status;
    }

    struct Finding {
        bytes32 subject;
        bytes32 framework;
        bytes32 control;
        /// @notice Hash of the evidence, of the remediation once there is one.
        bytes32 evidence;
        address assessor;
        /// @notice Who must remedy it.
        address owner;
        /// @notice Seconds since the Unix epoch.
        uint64 dueAt;
        Severity severity;
        FindingStatus status;
    }

    event FrameworkPublished(bytes32 indexed framework, bytes32 catalogueHash);
    event ControlAdded(bytes32 indexed framework, bytes32 indexed control, bytes32 requirementHash);
    event ControlsMapped(
        bytes32 indexed framework, bytes32 indexed control, bytes32 byFramework, bytes32 byControl, bool holds
    );
    event AttestationProposed(
        uint256 indexed id, bytes32 indexed subject, address indexed assessor, Statement statement, uint8 required
    );
    event AttestationSigned(uint256 indexed id, address indexed signatory);
    event AttestationEffective(
        uint256 indexed id, bytes32 indexed subject, bytes32 indexed framework, bytes32 control
    );
    event AttestationRevoked(uint256 indexed id, address indexed by, bytes32 reason);
    event FindingRaised(uint256 indexed id, bytes32 indexed subject, address indexed owner, Severity severity);
    event FindingRemediated(uint256 indexed id, bytes32 evidence);
    event FindingReopened(uint256 indexed id, bytes32 reason);
    event FindingClosed(uint256 indexed id);

    error ComplianceFrameworkExists(bytes32 framework);
    error ComplianceUnknownControl(bytes32 framework, bytes32 control);
    error ComplianceLengthMismatch(uint256 controls, uint256 requirements);
    error ComplianceUnknownFramework(bytes32 framework);
    error ComplianceControlExists(bytes32 framework, bytes32 control);
    error ComplianceEmptyValidity(uint64 validFrom, uint64 validUntil);
    error ComplianceNotYetValid(uint64 validFrom);
    error ComplianceTooManySignatories(uint256 count, uint256 most);
    error ComplianceRequiredOutOfRange(uint8 required, uint256 signatories);
    error ComplianceBadSignatory(address signatory);
    error ComplianceNotPending(uint256 id);
    error ComplianceNotSignatory(uint256 id, address caller);
    error ComplianceAlreadySigned(uint256 id, address signatory);
    error ComplianceBadSignature(uint256 id, address signatory);
    error ComplianceNotAssessor(uint256 id, address caller);
    error ComplianceNotRevocable(uint256 id);
    error ComplianceNotOwner(uint256 id, address caller);
    error ComplianceWrongFindingStatus(uint256 id, FindingStatus status);
    error ComplianceDueInThePast(uint64 dueAt);

    /// @notice Publish a framework. Restricted.
    function publishFramework(bytes32 framework, bytes32 catalogueHash) external;
    /// @notice Add controls to a framework. Restricted.
    function addControls(bytes32 framework, bytes32[] calldata controls, bytes32[] calldata requirementHashes)
        external;
    /// @notice Say whether meeting (`byFramework`, `byControl`) meets (`framework`, `control`) too. Restricted.
    function mapControl(bytes32 framework, bytes32 control, bytes32 byFramework, bytes32 byControl, bool holds)
        external;

    /// @notice Propose an attestation that `required` of `signatories` must sign. Restricted to assessors.
    /// @dev The assessor's own word is the proposal: it cannot be a signatory too.
    function propose(Statement calldata statement, address[] calldata signatories, uint8 required)
        external
        returns (uint256 id);
    /// @notice Signatory: sign by transaction.
    function signOff(uint256 id) external;
    /// @notice Deliver a signatory's EIP-712 signature (type SignOff, see `signOffDigest`).
    function signOffFor(uint256 id, address signatory, bytes calldata signature) external;
    /// @notice Assessor: take the attestation back.
    function revoke(uint256 id, bytes32 reason) external;
    /// @notice Take back an attestation whoever made it. Restricted.
    function annul(uint256 id, bytes32 reason) external;

    /// @notice Raise a finding. Restricted to assessors.
    function raiseFinding(
        bytes32 subject,
        bytes32 framework,
        bytes32 control,
        bytes32 evidence,
        address owner,
        uint64 dueAt,
        Severity severity
    ) external returns (uint256 id);
    /// @notice Owner: say that the finding is remedied.
    function remediate(uint256 id, bytes32 evidence) external;
    /// @notice Assessor: the remedy holds.
    function closeFinding(uint256 id) external;
    /// @notice Assessor: the remedy does not hold.
    function reopenFinding(uint256 id, bytes32 reason) external;

    /// @notice Whether the subject meets the control now: an attestation in effect and in time, and nothing blocking.
    function isMet(bytes32 subject, bytes32 framework, bytes32 control) external view returns (bool);
    /// @notice Whether the subject meets the control now by way of a mapped control.
    function isMetBy(bytes32 subject, bytes32 framework, bytes32 control, bytes32 byFramework, bytes32 byControl)
        external
        view
        returns (bool);
    /// @notice High and critical findings not yet closed.
    function blockingFindings(bytes32 subject, bytes32 framework, bytes32 control) external view returns (uint256);
    /// @notice What a signatory signs.
    function signOffDigest(uint256 id) external view returns (bytes32);
    function attestation(uint256 id) external view returns (Attestation memory);
    function finding(uint256 id) external view returns (Finding memory);
    /// @notice Whether the finding is open or unproved after its due time.
    function isOverdue(uint256 id) external view returns (bool);
    function requirementOf(bytes32 framework, bytes32 control) external view returns (bytes32);
}
