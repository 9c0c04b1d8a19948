// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title What a contract implements to be told how its dispute ended
interface IDisputeListener {
    /// @notice The ruling is final; `outcome` is IDisputes.Outcome as a number, `reason` the hash of its text.
    function onRuling(uint256 id, uint8 outcome, bytes32 reason) external;
}

/// @title Disputes: evidence by hash, a panel that rules, one appeal to a larger panel
/// @notice Evidence stays off chain; destroying it leaves a hash that nobody can turn back.
interface IDisputes {
    /// @notice Where a case stands.
    enum Stage {
        NONE,
        OPEN,
        RULED,
        APPEALED,
        FINAL
    }

    /// @notice What was decided: for the first party, for the second, for neither.
    enum Outcome {
        NONE,
        UPHELD,
        REJECTED,
        SPLIT
    }

    /// @notice A case.
    struct Case {
        bytes32 subject;
        address opener;
        Stage stage;
        Outcome outcome;
        uint64 appealUntil; // seconds; 0 before the first ruling
        bytes32 reason;
        address[] parties;
        address[] panel;
    }

    error DisputesNotParty(uint256 id, address caller);
    error DisputesNotPanelist(uint256 id, address caller);
    error DisputesWrongStage(uint256 id, Stage stage);
    error DisputesTooFewParties(uint256 given);
    error DisputesTooManyParties(uint256 given, uint256 most);
    error DisputesRepeatedParty(address party);
    error DisputesPanelSits(uint256 id, uint64 until);
    error DisputesBadPanel(uint256 given);
    error DisputesPartyOnPanel(uint256 id, address party);
    error DisputesAlreadyVoted(uint256 id, address panelist);
    error DisputesNoOutcome();
    error DisputesAppealOver(uint256 id, uint64 until);
    error DisputesAppealOpen(uint256 id, uint64 until);
    error DisputesNoEvidence();

    event DisputeOpened(uint256 indexed id, bytes32 indexed subject, address indexed opener, address[] parties);
    event EvidenceSubmitted(uint256 indexed id, address indexed by, bytes32 evidence);
    event PanelAppointed(uint256 indexed id, address[] panel);
    event PanelVoted(uint256 indexed id, address indexed panelist, Outcome outcome, bytes32 reason);
    event DisputeRuled(uint256 indexed id, Outcome outcome, bytes32 reason, uint64 appealUntil);
    event DisputeAppealed(uint256 indexed id, address indexed by, bytes32 grounds);
    event DisputeClosed(uint256 indexed id, Outcome outcome, bytes32 reason);
    event ListenerFailed(uint256 indexed id, address indexed listener, bytes reason);

    /// @notice Open a case between at least two parties. Any contract or account may; it is told the ruling.
    function open(bytes32 subject, bytes32 evidence, address[] calldata parties) external returns (uint256 id);

    /// @notice Add a hash of evidence; parties only, until a ruling.
    function submitEvidence(uint256 id, bytes32 evidence) external;

    /// @notice Name the panel, an odd number of people who are no parties; larger than the last after an appeal.
    function appoint(uint256 id, address[] calldata panel) external;

    /// @notice A panelist's vote; the majority rules.
    function vote(uint256 id, Outcome outcome, bytes32 reason) external;

    /// @notice Ask for a second, larger panel; parties only, once, within the time to appeal.
    function appeal(uint256 id, bytes32 grounds) external;

    /// @notice Make a ruling final when the time to appeal is over; anybody may.
    function close(uint256 id) external;

    /// @notice The case; stage NONE where there is none.
    function dispute(uint256 id) external view returns (Case memory);
}
