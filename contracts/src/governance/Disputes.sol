// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "./Governed.sol";
import {IDisputeListener, IDisputes} from "./IDisputes.sol";

/// @title Disputes
/// @notice See {IDisputes}. Parties and panelists are addresses of organisations or officers; texts stay off chain.
contract Disputes is IDisputes, Governed {
    struct Ballot {
        uint8 upheld;
        uint8 rejected;
        uint8 split;
        bytes32 reason; // of the vote that decided
    }

    /// @custom:storage-location erc7201:phoenix.storage.Disputes
    struct DisputesStorage {
        uint256 count;
        mapping(uint256 id => Case) cases;
        mapping(uint256 id => uint256) round; // how many panels have been appointed
        mapping(uint256 id => mapping(uint256 round => Ballot)) ballots;
        mapping(uint256 id => mapping(uint256 round => mapping(address => bool))) voted;
        mapping(uint256 id => uint256) appealedPanel; // size of the panel that was appealed against; 0 before
        mapping(uint256 id => uint64) panelUntil; // seconds; then another panel may be appointed
        mapping(uint256 id => bool) delivered;
    }

    bytes32 private constant STORAGE = 0x15c95123719cde90d2c8c696d5aa39e3b5fef4881fd058dc5841543b7fde6e00;

    /// @notice Seconds to appeal after a first ruling.
    uint64 public constant APPEAL_PERIOD = 7 days;
    /// @notice Seconds that a panel has before another may be appointed in its place.
    uint64 public constant PANEL_PERIOD = 30 days;
    uint256 public constant PARTIES_MAX = 8;
    uint256 public constant PANEL_MAX = 9;

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __Governed_init(authority);
    }

    /// @inheritdoc IDisputes
    function open(bytes32 subject, bytes32 evidence, address[] calldata parties)
        external
        whenNotPaused
        returns (uint256 id)
    {
        if (parties.length < 2) revert DisputesTooFewParties(parties.length);
        if (parties.length > PARTIES_MAX) revert DisputesTooManyParties(parties.length, PARTIES_MAX);
        _checkDistinct(parties);
        DisputesStorage storage $ = _storage();
        id = ++$.count;
        Case storage made = $.cases[id];
        made.subject = subject;
        made.opener = msg.sender;
        made.stage = Stage.OPEN;
        made.parties = parties;
        emit DisputeOpened(id, subject, msg.sender, parties);
        if (evidence != 0) emit EvidenceSubmitted(id, msg.sender, evidence);
    }

    /// @inheritdoc IDisputes
    function submitEvidence(uint256 id, bytes32 evidence) external {
        Case storage made = _storage().cases[id];
        if (made.stage != Stage.OPEN && made.stage != Stage.APPEALED) revert DisputesWrongStage(id, made.stage);
        if (!_in(made.parties, msg.sender)) revert DisputesNotParty(id, msg.sender);
        if (evidence == 0) revert DisputesNoEvidence();
        emit EvidenceSubmitted(id, msg.sender, evidence);
    }

    /// @inheritdoc IDisputes
    function appoint(uint256 id, address[] calldata panel) external restricted {
        DisputesStorage storage $ = _storage();
        Case storage made = $.cases[id];
        if (made.stage != Stage.OPEN && made.stage != Stage.APPEALED) revert DisputesWrongStage(id, made.stage);
        if (block.timestamp < $.panelUntil[id]) revert DisputesPanelSits(id, $.panelUntil[id]);
        bool larger = panel.length > $.appealedPanel[id];
        if (panel.length % 2 == 0 || panel.length > PANEL_MAX || !larger) revert DisputesBadPanel(panel.length);
        _checkDistinct(panel);
        for (uint256 i = 0; i < panel.length; ++i) {
            if (_in(made.parties, panel[i])) revert DisputesPartyOnPanel(id, panel[i]);
        }
        made.panel = panel;
        ++$.round[id];
        $.panelUntil[id] = uint64(block.timestamp) + PANEL_PERIOD;
        emit PanelAppointed(id, panel);
    }

    /// @inheritdoc IDisputes
    function vote(uint256 id, Outcome outcome, bytes32 reason) external {
        DisputesStorage storage $ = _storage();
        Case storage made = $.cases[id];
        if (made.stage != Stage.OPEN && made.stage != Stage.APPEALED) revert DisputesWrongStage(id, made.stage);
        if (!_in(made.panel, msg.sender)) revert DisputesNotPanelist(id, msg.sender);
        if (outcome == Outcome.NONE) revert DisputesNoOutcome();
        uint256 size = made.panel.length;
        uint256 round = $.round[id];
        if ($.voted[id][round][msg.sender]) revert DisputesAlreadyVoted(id, msg.sender);
        $.voted[id][round][msg.sender] = true;
        emit PanelVoted(id, msg.sender, outcome, reason);
        Ballot storage ballot = $.ballots[id][round];
        uint8 votes = outcome == Outcome.UPHELD
            ? ++ballot.upheld
            : outcome == Outcome.REJECTED ? ++ballot.rejected : ++ballot.split;
        uint256 cast = uint256(ballot.upheld) + ballot.rejected + ballot.split;
        if (uint256(votes) * 2 > size) _rule(id, outcome, reason);
        // All have voted and none has a majority: the panel is divided, so neither party prevails.
        else if (cast == size) _rule(id, Outcome.SPLIT, reason);
    }

    /// @inheritdoc IDisputes
    function appeal(uint256 id, bytes32 grounds) external {
        DisputesStorage storage $ = _storage();
        Case storage made = $.cases[id];
        if (made.stage != Stage.RULED) revert DisputesWrongStage(id, made.stage);
        if (!_in(made.parties, msg.sender)) revert DisputesNotParty(id, msg.sender);
        if (block.timestamp >= made.appealUntil) revert DisputesAppealOver(id, made.appealUntil);
        $.appealedPanel[id] = made.panel.length;
        $.panelUntil[id] = 0;
        delete made.panel;
        made.stage = Stage.APPEALED;
        emit DisputeAppealed(id, msg.sender, grounds);
    }

    /// @inheritdoc IDisputes
    function close(uint256 id) external {
        Case storage made = _storage().cases[id];
        if (made.stage != Stage.RULED) revert DisputesWrongStage(id, made.stage);
        if (block.timestamp < made.appealUntil) revert DisputesAppealOpen(id, made.appealUntil);
        _finish(id);
    }

    /// @notice Tell the opener again how its case ended, after it could not take it in; anybody may.
    function deliver(uint256 id) external {
        DisputesStorage storage $ = _storage();
        Stage stage = $.cases[id].stage;
        if (stage != Stage.FINAL || $.delivered[id]) revert DisputesWrongStage(id, stage);
        _deliver(id);
    }

    /// @inheritdoc IDisputes
    function dispute(uint256 id) external view returns (Case memory) {
        return _storage().cases[id];
    }

    function _rule(uint256 id, Outcome outcome, bytes32 reason) private {
        DisputesStorage storage $ = _storage();
        Case storage made = $.cases[id];
        made.outcome = outcome;
        made.reason = reason;
        // A panel of the largest size cannot be followed by a larger one.
        bool last = $.appealedPanel[id] != 0 || made.panel.length == PANEL_MAX;
        made.stage = Stage.RULED;
        made.appealUntil = last ? uint64(block.timestamp) : uint64(block.timestamp) + APPEAL_PERIOD;
        emit DisputeRuled(id, outcome, reason, made.appealUntil);
        if (last) _finish(id);
    }

    function _finish(uint256 id) private {
        Case storage made = _storage().cases[id];
        made.stage = Stage.FINAL;
        emit DisputeClosed(id, made.outcome, made.reason);
        _deliver(id);
    }

    function _deliver(uint256 id) private {
        DisputesStorage storage $ = _storage();
        Case storage made = $.cases[id];
        if (made.opener.code.length == 0) return;
        $.delivered[id] = true;
        try IDisputeListener(made.opener).onRuling(id, uint8(made.outcome), made.reason) {}
        catch (bytes memory reason) {
            $.delivered[id] = false;
            emit ListenerFailed(id, made.opener, reason);
        }
    }

    function _checkDistinct(address[] calldata people) private pure {
        for (uint256 i = 0; i < people.length; ++i) {
            for (uint256 k = 0; k < i; ++k) {
                if (people[i] == people[k]) revert DisputesRepeatedParty(people[i]);
            }
        }
    }

    function _in(address[] storage people, address who) private view returns (bool) {
        for (uint256 i = 0; i < people.length; ++i) {
            if (people[i] == who) return true;
        }
        return false;
    }

    function _storage() private pure returns (DisputesStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
