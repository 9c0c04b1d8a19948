// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";
import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {Governed} from "./Governed.sol";
import {IBoard} from "./IBoard.sol";

/// @title The board
/// @notice See {IBoard}. It has no pause of its own: nothing may stop the board from deciding.
contract Board is IBoard, Governed {
    using Checkpoints for Checkpoints.Trace208;
    using EnumerableSet for EnumerableSet.AddressSet;

    struct Key {
        address key;
        uint48 until;
    }

    /// @custom:storage-location erc7201:phoenix.storage.Board
    struct BoardStorage {
        TimelockController timelock;
        EnumerableSet.AddressSet members;
        mapping(address member => Checkpoints.Trace208) weights;
        Checkpoints.Trace208 total;
        mapping(address member => Key) keys;
        mapping(address key => address member) owners;
        mapping(Class => Rule) rules;
        mapping(address target => bool) structural;
        uint256 count;
        mapping(uint256 id => Proposal) proposals;
        mapping(uint256 id => mapping(address member => Vote)) votes;
    }

    bytes32 private constant STORAGE = 0xfd417d429c5f4f997c55a4960ee8f76d12e63c57d0c553005a7f81be9f994800;
    uint256 private constant WHOLE = 10_000;

    /// @notice The most calls that one proposal makes.
    uint256 public constant ACTIONS_MAX = 32;
    /// @notice The most weight that one member has.
    uint128 public constant WEIGHT_MAX = 1_000_000;

    modifier onlyTimelock() {
        if (msg.sender != address(_storage().timelock)) revert BoardNotTimelock(msg.sender);
        _;
    }

    /// @notice Found the board: first members with their weights, a rule per class, and what is structural from the
    /// first day on beside what always is.
    function initialize(
        address authority,
        TimelockController timelock_,
        address[] calldata founders,
        uint128[] calldata weights,
        Rule[3] calldata rules,
        address[] calldata structural
    ) external initializer {
        __Governed_init(authority);
        BoardStorage storage $ = _storage();
        $.timelock = timelock_;
        if (founders.length == 0 || founders.length != weights.length) revert BoardZeroMember();
        for (uint256 i = 0; i < founders.length; ++i) {
            _admit($, founders[i], weights[i]);
        }
        for (uint8 i = 0; i < 3; ++i) {
            _setRule($, Class(i), rules[i]);
        }
        for (uint256 i = 0; i < structural.length; ++i) {
            _setStructural($, structural[i], true);
        }
    }

    /// @inheritdoc IBoard
    function propose(Class class, Action[] calldata actions, bytes32 description) external returns (uint256 id) {
        BoardStorage storage $ = _storage();
        if (memberOf(msg.sender) == address(0)) revert BoardNotMember(msg.sender);
        _checkActions($, class, actions);
        id = ++$.count;
        Proposal storage made = $.proposals[id];
        made.proposer = memberOf(msg.sender);
        made.class = class;
        made.created = uint48(block.timestamp);
        made.votingEnds = uint48(block.timestamp) + $.rules[class].votingPeriod;
        made.actions = keccak256(abi.encode(actions));
        made.description = description;
        emit Proposed(id, made.proposer, class, actions, description, made.votingEnds);
    }

    /// @inheritdoc IBoard
    function vote(uint256 id, Vote answer, bytes32 reason) external {
        BoardStorage storage $ = _storage();
        _require(id, Stage.VOTING);
        address member = memberOf(msg.sender);
        if (member == address(0)) revert BoardNotMember(msg.sender);
        if (answer == Vote.NONE) revert BoardNoVote();
        if ($.votes[id][member] != Vote.NONE) revert BoardAlreadyVoted(id, member);
        Proposal storage made = $.proposals[id];
        uint128 weight = uint128($.weights[member].upperLookup(made.created - 1));
        if (weight == 0) revert BoardNoWeight(id, member);
        $.votes[id][member] = answer;
        if (answer == Vote.FOR) made.votesFor += weight;
        else if (answer == Vote.AGAINST) made.votesAgainst += weight;
        else made.votesAbstain += weight;
        emit Voted(id, member, msg.sender, answer, weight, reason);
    }

    /// @inheritdoc IBoard
    function queue(uint256 id, Action[] calldata actions) external {
        BoardStorage storage $ = _storage();
        _require(id, Stage.PASSED);
        Proposal storage made = $.proposals[id];
        _sameActions(id, actions);
        // The rules may have become stricter since it was proposed: a contract may have been marked structural.
        _checkActions($, made.class, actions);
        uint32 delay = $.rules[made.class].delay;
        made.queued = true;
        made.executableFrom = uint48(block.timestamp) + delay;
        (address[] memory targets, uint256[] memory values, bytes[] memory payloads) = _unzip(actions);
        $.timelock.scheduleBatch(targets, values, payloads, bytes32(0), bytes32(id), delay);
        bytes32 operation = $.timelock.hashOperationBatch(targets, values, payloads, bytes32(0), bytes32(id));
        emit Queued(id, made.executableFrom, operation);
    }

    /// @inheritdoc IBoard
    function execute(uint256 id, Action[] calldata actions) external {
        BoardStorage storage $ = _storage();
        _require(id, Stage.QUEUED);
        Proposal storage made = $.proposals[id];
        _sameActions(id, actions);
        if (block.timestamp < made.executableFrom) revert BoardTooEarly(id, made.executableFrom);
        made.executed = true;
        (address[] memory targets, uint256[] memory values, bytes[] memory payloads) = _unzip(actions);
        $.timelock.executeBatch(targets, values, payloads, bytes32(0), bytes32(id));
        emit Executed(id);
    }

    /// @inheritdoc IBoard
    function cancel(uint256 id) external {
        BoardStorage storage $ = _storage();
        Proposal storage made = $.proposals[id];
        Stage now_ = stage(id);
        if (now_ == Stage.QUEUED) {
            if (msg.sender != address($.timelock)) revert BoardNotTimelock(msg.sender);
        } else {
            if (now_ != Stage.VOTING && now_ != Stage.PASSED) revert BoardWrongStage(id, now_);
            if (memberOf(msg.sender) != made.proposer) revert BoardNotProposer(id, msg.sender);
        }
        made.cancelled = true;
        emit Cancelled(id, msg.sender);
    }

    /// @inheritdoc IBoard
    function hold(uint256 id) external restricted {
        BoardStorage storage $ = _storage();
        _require(id, Stage.QUEUED);
        Proposal storage made = $.proposals[id];
        if (made.held) revert BoardAlreadyHeld(id);
        made.held = true;
        made.executableFrom += $.rules[Class.STRUCTURAL].delay;
        emit Held(id, made.executableFrom, msg.sender);
    }

    /// @inheritdoc IBoard
    function delegateKey(address key, uint48 until) external {
        BoardStorage storage $ = _storage();
        if (!$.members.contains(msg.sender)) revert BoardNotMember(msg.sender);
        address taken = $.owners[key];
        if ((taken != address(0) && taken != msg.sender) || $.members.contains(key)) revert BoardKeyTaken(key, taken);
        _forgetKey($, msg.sender);
        if (key != address(0)) {
            $.keys[msg.sender] = Key(key, until);
            $.owners[key] = msg.sender;
        }
        emit KeyDelegated(msg.sender, key, until);
    }

    /// @inheritdoc IBoard
    function admit(address member, uint128 weight) external onlyTimelock {
        _admit(_storage(), member, weight);
    }

    /// @inheritdoc IBoard
    function remove(address member) external onlyTimelock {
        BoardStorage storage $ = _storage();
        if (!$.members.remove(member)) revert BoardUnknownMember(member);
        if ($.members.length() == 0) revert BoardLastMember(member);
        _forgetKey($, member);
        _weigh($, member, 0);
        emit MemberRemoved(member);
    }

    /// @inheritdoc IBoard
    function setWeight(address member, uint128 weight) external onlyTimelock {
        BoardStorage storage $ = _storage();
        if (!$.members.contains(member)) revert BoardUnknownMember(member);
        _weigh($, member, _checkedWeight(weight));
        emit MemberWeightChanged(member, weight);
    }

    /// @inheritdoc IBoard
    function setRule(Class class, Rule calldata rule_) external onlyTimelock {
        _setRule(_storage(), class, rule_);
    }

    /// @inheritdoc IBoard
    function setStructural(address target, bool structural) external onlyTimelock {
        _setStructural(_storage(), target, structural);
    }

    /// @inheritdoc IBoard
    function stage(uint256 id) public view returns (Stage) {
        BoardStorage storage $ = _storage();
        Proposal storage made = $.proposals[id];
        if (made.proposer == address(0)) return Stage.NONE;
        if (made.cancelled) return Stage.CANCELLED;
        if (made.executed) return Stage.EXECUTED;
        if (made.queued) return Stage.QUEUED;
        Rule storage by = $.rules[made.class];
        uint256 total = $.total.upperLookup(made.created - 1);
        uint256 decided = uint256(made.votesFor) + made.votesAgainst;
        bool quorate = (decided + made.votesAbstain) * WHOLE >= total * by.quorum;
        if (block.timestamp < made.votingEnds) {
            // An emergency need not wait for votes that cannot change it any more.
            bool certain = quorate && uint256(made.votesFor) * WHOLE >= total * by.threshold;
            return made.class == Class.EMERGENCY && certain ? Stage.PASSED : Stage.VOTING;
        }
        bool carried = made.votesFor > 0 && uint256(made.votesFor) * WHOLE >= decided * by.threshold;
        return quorate && carried ? Stage.PASSED : Stage.DEFEATED;
    }

    /// @inheritdoc IBoard
    function proposal(uint256 id) external view returns (Proposal memory) {
        return _storage().proposals[id];
    }

    /// @inheritdoc IBoard
    function voteOf(uint256 id, address member) external view returns (Vote) {
        return _storage().votes[id][member];
    }

    /// @inheritdoc IBoard
    function memberOf(address key) public view returns (address) {
        BoardStorage storage $ = _storage();
        if ($.members.contains(key)) return key;
        address owner = $.owners[key];
        return owner != address(0) && block.timestamp < $.keys[owner].until ? owner : address(0);
    }

    /// @inheritdoc IBoard
    function members() external view returns (address[] memory) {
        return _storage().members.values();
    }

    /// @inheritdoc IBoard
    function weightOf(address member) external view returns (uint128) {
        return uint128(_storage().weights[member].latest());
    }

    /// @inheritdoc IBoard
    function totalWeight() external view returns (uint128) {
        return uint128(_storage().total.latest());
    }

    /// @inheritdoc IBoard
    function rule(Class class) external view returns (Rule memory) {
        return _storage().rules[class];
    }

    /// @inheritdoc IBoard
    function isStructural(address target) external view returns (bool) {
        return _isStructural(_storage(), target, 0);
    }

    /// @inheritdoc IBoard
    function timelock() external view returns (address) {
        return address(_storage().timelock);
    }

    function _admit(BoardStorage storage $, address member, uint128 weight) private {
        if (member == address(0)) revert BoardZeroMember();
        if ($.owners[member] != address(0)) revert BoardKeyTaken(member, $.owners[member]);
        if (!$.members.add(member)) revert BoardMemberExists(member);
        _weigh($, member, _checkedWeight(weight));
        emit MemberAdmitted(member, weight);
    }

    function _weigh(BoardStorage storage $, address member, uint128 weight) private {
        uint208 total = $.total.latest() - $.weights[member].latest() + weight;
        $.weights[member].push(uint48(block.timestamp), weight);
        $.total.push(uint48(block.timestamp), total);
    }

    function _checkedWeight(uint128 weight) private pure returns (uint128) {
        if (weight == 0 || weight > WEIGHT_MAX) revert BoardBadWeight(weight);
        return weight;
    }

    function _setRule(BoardStorage storage $, Class class, Rule calldata given) private {
        bool shares = given.quorum > 0 && given.quorum <= WHOLE && given.threshold > WHOLE / 2 && given.threshold <= WHOLE;
        bool inTime = given.votingPeriod > 0 && given.delay >= $.timelock.getMinDelay();
        // Structural decisions are never quicker or easier than ordinary ones.
        Rule memory ordinary = $.rules[Class.ORDINARY];
        Rule memory structural = $.rules[Class.STRUCTURAL];
        if (class == Class.ORDINARY) ordinary = given;
        if (class == Class.STRUCTURAL) structural = given;
        bool founded = structural.votingPeriod == 0
            || (structural.delay >= ordinary.delay && structural.threshold >= ordinary.threshold
                && structural.quorum >= ordinary.quorum);
        if (!shares || !inTime || !founded) revert BoardBadRule(class);
        $.rules[class] = given;
        emit RuleChanged(class, given.quorum, given.threshold, given.votingPeriod, given.delay);
    }

    function _setStructural(BoardStorage storage $, address target, bool structural) private {
        $.structural[target] = structural;
        emit StructuralTargetChanged(target, structural);
    }

    function _checkActions(BoardStorage storage $, Class class, Action[] calldata actions) private view {
        if (actions.length == 0) revert BoardNoActions();
        if (actions.length > ACTIONS_MAX) revert BoardTooManyActions(actions.length, ACTIONS_MAX);
        for (uint256 i = 0; i < actions.length; ++i) {
            bytes4 selector = bytes4(actions[i].data);
            bool emergency = selector == Governed.unpause.selector
                || (actions[i].target == authority() && selector == IAccessManager.setTargetClosed.selector);
            if (class == Class.EMERGENCY && !emergency) revert BoardNotEmergency(i);
            if (class == Class.ORDINARY && _isStructural($, actions[i].target, selector)) revert BoardClassTooLow(i);
        }
    }

    function _isStructural(BoardStorage storage $, address target, bytes4 selector) private view returns (bool) {
        return selector == UUPSUpgradeable.upgradeToAndCall.selector || target == authority() || target == address(this)
            || target == address($.timelock) || $.structural[target];
    }

    function _sameActions(uint256 id, Action[] calldata actions) private view {
        if (keccak256(abi.encode(actions)) != _storage().proposals[id].actions) revert BoardActionsDiffer(id);
    }

    function _require(uint256 id, Stage wanted) private view {
        Stage now_ = stage(id);
        if (now_ != wanted) revert BoardWrongStage(id, now_);
    }

    function _forgetKey(BoardStorage storage $, address member) private {
        delete $.owners[$.keys[member].key];
        delete $.keys[member];
    }

    function _unzip(Action[] calldata actions)
        private
        pure
        returns (address[] memory targets, uint256[] memory values, bytes[] memory payloads)
    {
        targets = new address[](actions.length);
        values = new uint256[](actions.length);
        payloads = new bytes[](actions.length);
        for (uint256 i = 0; i < actions.length; ++i) {
            targets[i] = actions[i].target;
            payloads[i] = actions[i].data;
        }
    }

    function _storage() private pure returns (BoardStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
