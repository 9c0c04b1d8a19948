// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title The board: member organisations that decide by weighted votes, with a delay before anything happens
/// @notice The board proposes to a TimelockController, and that timelock is the administrator of the AccessManager.
/// Nothing personal is kept: members are organisations' addresses, descriptions are hashes of off-chain texts.
interface IBoard {
    /// @notice What a decision is about; each has its own rule.
    enum Class {
        ORDINARY, // anything that is not structural
        STRUCTURAL, // upgrades, roles, the board itself, the timelock, and targets marked so
        EMERGENCY // lifting a pause or closing a contract, and nothing else
    }

    /// @notice Where a proposal stands.
    enum Stage {
        NONE,
        VOTING,
        DEFEATED,
        PASSED,
        QUEUED,
        EXECUTED,
        CANCELLED
    }

    /// @notice A member's answer.
    enum Vote {
        NONE,
        AGAINST,
        FOR,
        ABSTAIN
    }

    /// @notice When a class decides. Shares are in basis points (1/10000), times in seconds.
    struct Rule {
        uint16 quorum; // of all weight: for, against and abstentions together
        uint16 threshold; // of the weight for and against: for
        uint32 votingPeriod;
        uint32 delay; // between queueing and execution
    }

    /// @notice One call that a proposal makes.
    struct Action {
        address target;
        bytes data;
    }

    /// @notice A proposal.
    struct Proposal {
        address proposer;
        Class class;
        bool queued;
        bool executed;
        bool cancelled;
        bool held;
        uint48 created;
        uint48 votingEnds;
        uint48 executableFrom;
        uint128 votesFor;
        uint128 votesAgainst;
        uint128 votesAbstain;
        bytes32 actions; // hash
        bytes32 description; // hash of the off-chain text
    }

    error BoardNotMember(address caller);
    error BoardMemberExists(address member);
    error BoardUnknownMember(address member);
    error BoardLastMember(address member);
    error BoardBadWeight(uint256 weight);
    error BoardZeroMember();
    error BoardKeyTaken(address key, address member);
    error BoardBadRule(Class class);
    error BoardNoActions();
    error BoardTooManyActions(uint256 given, uint256 most);
    error BoardClassTooLow(uint256 action);
    error BoardNotEmergency(uint256 action);
    error BoardWrongStage(uint256 id, Stage stage);
    error BoardAlreadyVoted(uint256 id, address member);
    error BoardNoVote();
    error BoardNoWeight(uint256 id, address member);
    error BoardActionsDiffer(uint256 id);
    error BoardTooEarly(uint256 id, uint48 executableFrom);
    error BoardAlreadyHeld(uint256 id);
    error BoardNotProposer(uint256 id, address caller);
    error BoardNotTimelock(address caller);

    event MemberAdmitted(address indexed member, uint128 weight);
    event MemberRemoved(address indexed member);
    event MemberWeightChanged(address indexed member, uint128 weight);
    event KeyDelegated(address indexed member, address indexed key, uint48 until);
    event RuleChanged(Class indexed class, uint16 quorum, uint16 threshold, uint32 votingPeriod, uint32 delay);
    event StructuralTargetChanged(address indexed target, bool structural);
    event Proposed(
        uint256 indexed id, address indexed proposer, Class class, Action[] actions, bytes32 description, uint48 votingEnds
    );
    event Voted(uint256 indexed id, address indexed member, address key, Vote vote, uint128 weight, bytes32 reason);
    event Queued(uint256 indexed id, uint48 executableFrom, bytes32 operation);
    event Held(uint256 indexed id, uint48 executableFrom, address by);
    event Executed(uint256 indexed id);
    event Cancelled(uint256 indexed id, address by);

    /// @notice Put actions to the vote. Members and their keys only.
    function propose(Class class, Action[] calldata actions, bytes32 description) external returns (uint256 id);

    /// @notice Vote once, for good, with the weight that the member had before the proposal was made.
    function vote(uint256 id, Vote answer, bytes32 reason) external;

    /// @notice Start the delay of a passed proposal; anybody may.
    function queue(uint256 id, Action[] calldata actions) external;

    /// @notice Carry out a queued proposal after its delay; anybody may.
    function execute(uint256 id, Action[] calldata actions) external;

    /// @notice Withdraw a proposal that is not queued (its proposer), or stop a queued one (a decision of the board).
    function cancel(uint256 id) external;

    /// @notice Add the structural delay to a queued proposal, once. GUARDIAN only: time for the board to think again.
    function hold(uint256 id) external;

    /// @notice Let a key act for the calling member until a time (seconds); a new one replaces it, 0 ends it.
    function delegateKey(address key, uint48 until) external;

    /// @notice Take a member in. A decision of the board.
    function admit(address member, uint128 weight) external;

    /// @notice Put a member out; the last one stays. A decision of the board.
    function remove(address member) external;

    /// @notice Give a member another weight. A decision of the board.
    function setWeight(address member, uint128 weight) external;

    /// @notice Change when a class decides. A decision of the board.
    function setRule(Class class, Rule calldata rule_) external;

    /// @notice Say that calls to a target are structural. A decision of the board.
    function setStructural(address target, bool structural) external;

    /// @notice Where a proposal stands now.
    function stage(uint256 id) external view returns (Stage);

    /// @notice The proposal as stored.
    function proposal(uint256 id) external view returns (Proposal memory);

    /// @notice How a member voted.
    function voteOf(uint256 id, address member) external view returns (Vote);

    /// @notice The member that an address acts for: itself, or who delegated to it; 0 where nobody did.
    function memberOf(address key) external view returns (address);

    /// @notice Members in no particular order.
    function members() external view returns (address[] memory);

    /// @notice A member's weight now; 0 for others.
    function weightOf(address member) external view returns (uint128);

    /// @notice All weight now.
    function totalWeight() external view returns (uint128);

    /// @notice When a class decides.
    function rule(Class class) external view returns (Rule memory);

    /// @notice Whether every call to a target is structural: the authority, the board, the timelock, what was marked so.
    function isStructural(address target) external view returns (bool);

    /// @notice Who carries out what is decided.
    function timelock() external view returns (address);
}
