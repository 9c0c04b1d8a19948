// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {IBilling} from "../billing/IBilling.sol";
import {IMetering} from "../billing/IMetering.sol";
import {IDisputes, IDisputeListener} from "../governance/IDisputes.sol";
import {ISla} from "./ISla.sol";

/// @title Service levels
/// @notice See {ISla}.
contract Sla is ISla, IDisputeListener, AccessManagedUpgradeable, UUPSUpgradeable {
    struct Block {
        uint128 penalty;
        uint128 reward;
    }

    struct Subject {
        uint256 agreement;
        uint32 window;
    }

    /// @custom:storage-location erc7201:phoenix.storage.Sla
    struct SlaStorage {
        IMetering metering;
        IBilling billing;
        IDisputes disputes;
        mapping(uint256 id => Agreement) agreements;
        mapping(uint256 id => Objective[]) objectives;
        mapping(uint256 id => address[]) oracles;
        mapping(uint256 id => mapping(address oracle => bool)) isOracle;
        mapping(uint256 id => mapping(address oracle => uint32)) missed;
        mapping(uint256 id => mapping(uint32 window => Window)) windows;
        mapping(uint256 id => mapping(uint32 window => mapping(address oracle => uint128[]))) reports;
        mapping(uint256 id => mapping(uint32 block_ => Block)) blocks;
        mapping(uint256 id => mapping(uint32 block_ => uint32)) maintained;
        mapping(uint256 dispute => Subject) contested;
        uint256 agreementCount;
    }

    bytes32 private constant STORAGE = 0xd8ccea8bfdb75f13c15e5a0f958a4af4005f2eb9bd127ef49f1d11ac5242b200;
    /// @dev Bound the loops of an assessment.
    uint256 private constant ORACLES_MAX = 15;
    uint256 private constant OBJECTIVES_MAX = 8;
    uint256 private constant STEPS_MAX = 8;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Start under the registry of roles at `authority`; accounts are those of `metering`, credits go to `billing`.
    function initialize(address authority, IMetering metering, IBilling billing, IDisputes disputes)
        external
        initializer
    {
        __AccessManaged_init(authority);
        __UUPSUpgradeable_init();
        SlaStorage storage $ = _storage();
        $.metering = metering;
        $.billing = billing;
        $.disputes = disputes;
    }

    /// @inheritdoc ISla
    function propose(Terms calldata terms, Objective[] calldata objectives, address[] calldata oracles)
        external
        returns (uint256 agreement)
    {
        SlaStorage storage $ = _storage();
        IMetering.Account memory account = $.metering.accountOf(terms.account);
        if (account.provider != msg.sender) revert SlaNotProvider(terms.account, msg.sender);
        _checkTerms(terms, oracles.length);
        agreement = ++$.agreementCount;
        $.agreements[agreement] = Agreement({
            terms: terms,
            provider: msg.sender,
            tenant: account.tenant,
            status: AgreementStatus.Proposed,
            endsBefore: terms.windows
        });
        for (uint256 i = 0; i < oracles.length; ++i) {
            address oracle = oracles[i];
            bool party = oracle == msg.sender || oracle == account.tenant || oracle == address(0);
            if (party || $.isOracle[agreement][oracle]) revert SlaBadOracle(oracle);
            $.isOracle[agreement][oracle] = true;
        }
        $.oracles[agreement] = oracles;
        if (objectives.length == 0 || objectives.length > OBJECTIVES_MAX) revert SlaBadTerms("objectives");
        for (uint256 i = 0; i < objectives.length; ++i) {
            _addObjective($.objectives[agreement], objectives[i], i);
        }
        emit AgreementProposed(agreement, terms.account, terms.resource, oracles);
    }

    /// @inheritdoc ISla
    function accept(uint256 agreement) external {
        Agreement storage it = _storage().agreements[agreement];
        if (it.tenant != msg.sender) revert SlaNotTenant(agreement, msg.sender);
        if (it.status != AgreementStatus.Proposed) revert SlaWrongStatus(agreement, it.status);
        if (block.timestamp >= it.terms.startsAt) revert SlaTooLate(agreement, 0, it.terms.startsAt);
        it.status = AgreementStatus.Active;
        emit AgreementAccepted(agreement);
    }

    /// @inheritdoc ISla
    function end(uint256 agreement) external {
        Agreement storage it = _active(agreement);
        bool byProvider = msg.sender == it.provider;
        if (!byProvider && msg.sender != it.tenant) revert SlaNotParty(agreement, msg.sender);
        uint256 last = 0;
        if (block.timestamp >= it.terms.startsAt) {
            last = (block.timestamp - it.terms.startsAt) / it.terms.windowSeconds + 1;
        }
        // A provider that could leave at once would leave whenever an outage begins.
        if (byProvider) last += it.terms.capWindows;
        if (last < it.endsBefore) it.endsBefore = uint32(last);
        it.status = AgreementStatus.Ended;
        emit AgreementEnded(agreement, it.endsBefore);
    }

    /// @inheritdoc ISla
    function announceMaintenance(uint256 agreement, uint32 first, uint32 count) external {
        SlaStorage storage $ = _storage();
        Agreement storage it = _active(agreement);
        if (it.provider != msg.sender) revert SlaNotProvider(it.terms.account, msg.sender);
        uint64 latest = _startOf(it, first) - it.terms.noticeSeconds;
        if (block.timestamp > latest) revert SlaTooLate(agreement, first, latest);
        for (uint32 window = first; window < first + count; ++window) {
            Window storage at_ = _window($, agreement, it, window);
            if (at_.status != WindowStatus.None) revert SlaWrongWindowStatus(agreement, window, at_.status);
            uint32 block_ = window / it.terms.capWindows;
            uint32 used = ++$.maintained[agreement][block_];
            if (used > it.terms.maintenanceMax) {
                revert SlaMaintenanceUsedUp(agreement, block_, it.terms.maintenanceMax);
            }
            at_.status = WindowStatus.Excused;
            emit WindowExcused(agreement, window);
        }
        emit MaintenanceAnnounced(agreement, first, count);
    }

    /// @inheritdoc ISla
    function report(Report[] calldata reports) external restricted {
        SlaStorage storage $ = _storage();
        for (uint256 i = 0; i < reports.length; ++i) {
            _report($, reports[i]);
        }
    }

    /// @inheritdoc ISla
    function assess(uint256 agreement, uint32[] calldata windows) external {
        SlaStorage storage $ = _storage();
        for (uint256 i = 0; i < windows.length; ++i) {
            _assess($, agreement, windows[i]);
        }
    }

    /// @inheritdoc ISla
    function contest(uint256 agreement, uint32 window, bytes32 evidence) external {
        SlaStorage storage $ = _storage();
        Agreement storage it = $.agreements[agreement];
        bool byProvider = msg.sender == it.provider;
        if (!byProvider && msg.sender != it.tenant) revert SlaNotParty(agreement, msg.sender);
        Window storage at_ = _assessed($, agreement, window);
        uint64 latest = at_.assessedAt + it.terms.objectionSeconds;
        if (block.timestamp >= latest) revert SlaTooLate(agreement, window, latest);
        at_.status = WindowStatus.Contested;
        // A ruling "upheld" is for the first party: whoever contests.
        address[] memory parties = new address[](2);
        parties[0] = msg.sender;
        parties[1] = byProvider ? it.tenant : it.provider;
        uint256 dispute = $.disputes.open(keccak256(abi.encode("sla", agreement, window)), evidence, parties);
        $.contested[dispute] = Subject(agreement, window);
        emit WindowContested(agreement, window, dispute, evidence);
    }

    /// @notice Disputes: the ruling. UPHELD annuls the assessment and gives back what it used of the caps; any other
    /// outcome credits it.
    function onRuling(uint256 dispute, uint8 outcome, bytes32 reason) external {
        SlaStorage storage $ = _storage();
        if (msg.sender != address($.disputes)) revert SlaNotDisputes(msg.sender);
        Subject memory subject = $.contested[dispute];
        if (subject.agreement == 0) revert SlaUnknownDispute(dispute);
        Window storage at_ = $.windows[subject.agreement][subject.window];
        if (at_.status != WindowStatus.Contested) {
            revert SlaWrongWindowStatus(subject.agreement, subject.window, at_.status);
        }
        if (outcome != uint8(IDisputes.Outcome.UPHELD)) {
            _credit($, subject.agreement, subject.window, at_);
            return;
        }
        at_.status = WindowStatus.Annulled;
        uint32 block_ = subject.window / $.agreements[subject.agreement].terms.capWindows;
        Block storage sums = $.blocks[subject.agreement][block_];
        sums.penalty -= at_.penalty;
        sums.reward -= at_.reward;
        emit WindowAnnulled(subject.agreement, subject.window, reason);
    }

    /// @inheritdoc ISla
    function credit(uint256 agreement, uint32[] calldata windows) external {
        SlaStorage storage $ = _storage();
        uint32 objection = $.agreements[agreement].terms.objectionSeconds;
        for (uint256 i = 0; i < windows.length; ++i) {
            Window storage at_ = _assessed($, agreement, windows[i]);
            uint64 earliest = at_.assessedAt + objection;
            if (block.timestamp < earliest) revert SlaTooEarly(agreement, windows[i], earliest);
            _credit($, agreement, windows[i], at_);
        }
    }

    /// @inheritdoc ISla
    function agreementOf(uint256 agreement) external view returns (Agreement memory) {
        return _storage().agreements[agreement];
    }

    /// @inheritdoc ISla
    function objectivesOf(uint256 agreement) external view returns (Objective[] memory) {
        return _storage().objectives[agreement];
    }

    /// @inheritdoc ISla
    function oraclesOf(uint256 agreement) external view returns (address[] memory) {
        return _storage().oracles[agreement];
    }

    /// @inheritdoc ISla
    function windowOf(uint256 agreement, uint32 window) external view returns (Window memory) {
        return _storage().windows[agreement][window];
    }

    /// @inheritdoc ISla
    function missedBy(uint256 agreement, address oracle) external view returns (uint32) {
        return _storage().missed[agreement][oracle];
    }

    /// @inheritdoc ISla
    function assessedIn(uint256 agreement, uint32 block_) external view returns (uint128 penalty, uint128 reward) {
        Block storage sums = _storage().blocks[agreement][block_];
        return (sums.penalty, sums.reward);
    }

    /// @dev Upgrades come through the authority only: the governance timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    function _report(SlaStorage storage $, Report calldata given) private {
        uint256 agreement = given.agreement;
        uint32 window = given.window;
        if (!$.isOracle[agreement][msg.sender]) revert SlaNotOracle(agreement, msg.sender);
        Agreement storage it = $.agreements[agreement];
        Window storage at_ = _window($, agreement, it, window);
        if (at_.status == WindowStatus.Excused) revert SlaUnderMaintenance(agreement, window);
        if (at_.status != WindowStatus.None) revert SlaWrongWindowStatus(agreement, window, at_.status);
        uint64 opens = _startOf(it, window + 1);
        if (block.timestamp < opens) revert SlaTooEarly(agreement, window, opens);
        uint64 closes = opens + it.terms.graceSeconds;
        if (block.timestamp >= closes) revert SlaTooLate(agreement, window, closes);
        uint256 needed = $.objectives[agreement].length;
        if (given.values.length != needed) revert SlaWrongValues(given.values.length, needed);
        if ($.reports[agreement][window][msg.sender].length != 0) {
            revert SlaAlreadyReported(agreement, window, msg.sender);
        }
        $.reports[agreement][window][msg.sender] = given.values;
        at_.reports += 1;
        emit WindowReported(agreement, window, msg.sender, given.values);
    }

    function _assess(SlaStorage storage $, uint256 agreement, uint32 window) private {
        Agreement storage it = $.agreements[agreement];
        Window storage at_ = _window($, agreement, it, window);
        if (at_.status != WindowStatus.None) revert SlaWrongWindowStatus(agreement, window, at_.status);
        uint64 closes = _startOf(it, window + 1) + it.terms.graceSeconds;
        uint256 oracles = $.oracles[agreement].length;
        if (at_.reports < oracles && block.timestamp < closes) revert SlaTooEarly(agreement, window, closes);
        at_.assessedAt = uint64(block.timestamp);
        if (at_.reports < oracles) _nameSilent($, agreement, window);
        if (at_.reports < it.terms.quorum) {
            at_.status = WindowStatus.Unmeasured;
            emit WindowUnmeasured(agreement, window, at_.reports);
            return;
        }
        at_.status = WindowStatus.Assessed;
        uint128[] memory medians = _medians($, agreement, window, at_.reports);
        (uint256 penalty, uint256 reward) = _judge($, agreement, window, medians);
        Block storage sums = $.blocks[agreement][window / it.terms.capWindows];
        at_.penalty = _capped(penalty, it.terms.penaltyCap - sums.penalty);
        at_.reward = _capped(reward, it.terms.rewardCap - sums.reward);
        sums.penalty += at_.penalty;
        sums.reward += at_.reward;
        emit WindowAssessed(agreement, window, medians, at_.penalty, at_.reward);
    }

    function _nameSilent(SlaStorage storage $, uint256 agreement, uint32 window) private {
        address[] storage oracles = $.oracles[agreement];
        for (uint256 i = 0; i < oracles.length; ++i) {
            if ($.reports[agreement][window][oracles[i]].length != 0) continue;
            $.missed[agreement][oracles[i]] += 1;
            emit ReportMissed(agreement, window, oracles[i]);
        }
    }

    /// @dev Penalty of all steps missed; a reward only where nothing was missed.
    function _judge(SlaStorage storage $, uint256 agreement, uint32 window, uint128[] memory medians)
        private
        returns (uint256 penalty, uint256 reward)
    {
        Objective[] storage objectives = $.objectives[agreement];
        for (uint256 i = 0; i < medians.length; ++i) {
            Objective storage objective = objectives[i];
            uint128 value = medians[i];
            uint256 missed = 0;
            uint256 steps = objective.steps.length;
            while (missed < steps && _isWorse(objective, value, objective.steps[missed].mark)) ++missed;
            if (missed != 0) {
                uint128 cost = objective.steps[missed - 1].penalty;
                penalty += cost;
                emit ObjectiveBreached(agreement, window, i, value, cost);
            } else if (!_isWorse(objective, value, objective.rewardMark)) {
                reward += objective.reward;
            }
        }
        if (penalty != 0) reward = 0;
    }

    function _credit(SlaStorage storage $, uint256 agreement, uint32 window, Window storage at_) private {
        at_.status = WindowStatus.Credited;
        int256 amount = int256(uint256(at_.reward)) - int256(uint256(at_.penalty));
        emit WindowCredited(agreement, window, amount);
        if (amount != 0) {
            bytes32 reason = keccak256(abi.encode("sla", agreement, window));
            $.billing.adjust($.agreements[agreement].terms.account, amount, reason);
        }
    }

    function _addObjective(Objective[] storage objectives, Objective calldata given, uint256 place) private {
        uint256 count = given.steps.length;
        if (count == 0 || count > STEPS_MAX) revert SlaBadObjective(place);
        Objective storage it = objectives.push();
        it.metric = given.metric;
        it.higherIsBetter = given.higherIsBetter;
        it.rewardMark = given.rewardMark;
        it.reward = given.reward;
        for (uint256 i = 0; i < count; ++i) {
            Step calldata step = given.steps[i];
            if (i != 0) {
                Step calldata milder = given.steps[i - 1];
                bool worse = given.higherIsBetter ? step.mark < milder.mark : step.mark > milder.mark;
                if (!worse || step.penalty <= milder.penalty) revert SlaBadObjective(place);
            }
            it.steps.push(step);
        }
    }

    function _checkTerms(Terms calldata terms, uint256 oracles) private view {
        if (terms.startsAt <= block.timestamp) revert SlaBadTerms("startsAt");
        if (terms.windowSeconds == 0) revert SlaBadTerms("windowSeconds");
        if (terms.windows == 0 || terms.windows == type(uint32).max) revert SlaBadTerms("windows");
        if (terms.graceSeconds == 0) revert SlaBadTerms("graceSeconds");
        if (terms.capWindows == 0) revert SlaBadTerms("capWindows");
        if (terms.noticeSeconds > terms.startsAt) revert SlaBadTerms("noticeSeconds");
        if (oracles == 0 || oracles > ORACLES_MAX) revert SlaBadTerms("oracles");
        if (terms.quorum > oracles || uint256(terms.quorum) * 2 <= oracles) revert SlaBadTerms("quorum");
    }

    function _medians(SlaStorage storage $, uint256 agreement, uint32 window, uint256 count)
        private
        view
        returns (uint128[] memory medians)
    {
        address[] storage oracles = $.oracles[agreement];
        medians = new uint128[]($.objectives[agreement].length);
        uint128[][] memory reports = new uint128[][](count);
        uint256 found = 0;
        for (uint256 i = 0; i < oracles.length; ++i) {
            uint128[] memory values = $.reports[agreement][window][oracles[i]];
            if (values.length != 0) reports[found++] = values;
        }
        for (uint256 i = 0; i < medians.length; ++i) {
            medians[i] = _median(reports, i);
        }
    }

    /// @dev The middle value; of an even number the mean of the two middle ones, rounded down.
    function _median(uint128[][] memory reports, uint256 objective) private pure returns (uint128) {
        uint256 count = reports.length;
        uint256[] memory sorted = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 value = reports[i][objective];
            uint256 place = i;
            while (place != 0 && sorted[place - 1] > value) {
                sorted[place] = sorted[place - 1];
                --place;
            }
            sorted[place] = value;
        }
        uint256 middle = count / 2;
        if (count & 1 == 1) return uint128(sorted[middle]);
        return uint128((sorted[middle - 1] + sorted[middle]) / 2);
    }

    function _isWorse(Objective storage it, uint128 value, uint128 mark) private view returns (bool) {
        return it.higherIsBetter ? value < mark : value > mark;
    }

    function _capped(uint256 amount, uint128 room) private pure returns (uint128) {
        return amount > room ? room : uint128(amount);
    }

    function _startOf(Agreement storage it, uint32 window) private view returns (uint64) {
        return it.terms.startsAt + uint64(window) * it.terms.windowSeconds;
    }

    /// @dev A window that belongs to an agreement that was accepted, ended or not.
    function _window(SlaStorage storage $, uint256 agreement, Agreement storage it, uint32 window)
        private
        view
        returns (Window storage)
    {
        if (it.status != AgreementStatus.Active && it.status != AgreementStatus.Ended) {
            revert SlaWrongStatus(agreement, it.status);
        }
        if (window >= it.endsBefore) revert SlaUnknownWindow(agreement, window);
        return $.windows[agreement][window];
    }

    function _assessed(SlaStorage storage $, uint256 agreement, uint32 window)
        private
        view
        returns (Window storage at_)
    {
        at_ = $.windows[agreement][window];
        if (at_.status != WindowStatus.Assessed) revert SlaWrongWindowStatus(agreement, window, at_.status);
    }

    function _active(uint256 agreement) private view returns (Agreement storage it) {
        it = _storage().agreements[agreement];
        if (it.status != AgreementStatus.Active) revert SlaWrongStatus(agreement, it.status);
    }

    function _storage() private pure returns (SlaStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
