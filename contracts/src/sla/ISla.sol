// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Service levels
/// @notice Provider and tenant agree on objectives for a resource. Time is cut into windows; after each, independent
/// oracles report one value per objective, in the objective's own unit. With a quorum of reports the median decides;
/// the worst step that it misses sets a penalty, meeting the reward mark sets a reward, both capped per block of
/// windows, and after a time to object the sum is credited into billing. Trust: no minority of oracles can move a median
/// outside what the others reported. Resources are hashes; there is no personal data to erase.
interface ISla {
    enum AgreementStatus {
        None,
        Proposed,
        Active,
        Ended
    }

    enum WindowStatus {
        None,
        Assessed,
        Unmeasured,
        Excused,
        Contested,
        Credited,
        Annulled
    }

    struct Objective {
        /// @notice What is measured (availability, latency, throughput, response time), by hash of its definition.
        bytes32 metric;
        /// @notice Whether more is better (availability) or less (latency).
        bool higherIsBetter;
        /// @notice Steps from mild to severe: a value beyond `mark` costs `penalty`; the last step missed counts.
        Step[] steps;
        /// @notice A value at least as good as this earns `reward`.
        uint128 rewardMark;
        uint128 reward;
    }

    struct Step {
        uint128 mark;
        /// @notice In units of the settlement token; rises from step to step.
        uint128 penalty;
    }

    struct Terms {
        /// @notice The account in metering and billing whose provider and tenant agree.
        uint256 account;
        bytes32 resource;
        /// @notice Start of window 0. Seconds since the Unix epoch.
        uint64 startsAt;
        uint32 windowSeconds;
        /// @notice How many windows the agreement lasts.
        uint32 windows;
        /// @notice Seconds after a window's end in which reports count.
        uint32 graceSeconds;
        /// @notice Seconds after the assessment in which a party may object.
        uint32 objectionSeconds;
        /// @notice Reports needed; at least a majority of the oracles.
        uint8 quorum;
        /// @notice Caps count per block of this many windows.
        uint32 capWindows;
        uint128 penaltyCap;
        uint128 rewardCap;
        /// @notice Windows of a block that maintenance may excuse.
        uint32 maintenanceMax;
        /// @notice Seconds before a window's start by which its maintenance must be announced.
        uint32 noticeSeconds;
    }

    struct Agreement {
        Terms terms;
        address provider;
        address tenant;
        AgreementStatus status;
        /// @notice Windows from this one on no longer count.
        uint32 endsBefore;
    }

    struct Window {
        WindowStatus status;
        uint8 reports;
        uint64 assessedAt;
        /// @notice After caps; what the provider owes.
        uint128 penalty;
        /// @notice After caps; what the tenant owes.
        uint128 reward;
    }

    struct Report {
        uint256 agreement;
        uint32 window;
        /// @notice One value per objective.
        uint128[] values;
    }

    event AgreementProposed(
        uint256 indexed agreement, uint256 indexed account, bytes32 indexed resource, address[] oracles
    );
    event AgreementAccepted(uint256 indexed agreement);
    event AgreementEnded(uint256 indexed agreement, uint32 endsBefore);
    event MaintenanceAnnounced(uint256 indexed agreement, uint32 first, uint32 count);
    event WindowReported(uint256 indexed agreement, uint32 indexed window, address indexed oracle, uint128[] values);
    event ReportMissed(uint256 indexed agreement, uint32 indexed window, address indexed oracle);
    event WindowAssessed(
        uint256 indexed agreement, uint32 indexed window, uint128[] medians, uint128 penalty, uint128 reward
    );
    event ObjectiveBreached(
        uint256 indexed agreement, uint32 indexed window, uint256 objective, uint128 value, uint128 penalty
    );
    event WindowUnmeasured(uint256 indexed agreement, uint32 indexed window, uint8 reports);
    event WindowExcused(uint256 indexed agreement, uint32 indexed window);
    event WindowContested(uint256 indexed agreement, uint32 indexed window, uint256 indexed dispute, bytes32 evidence);
    event WindowAnnulled(uint256 indexed agreement, uint32 indexed window, bytes32 reason);
    event WindowCredited(uint256 indexed agreement, uint32 indexed window, int256 amount);

    error SlaNotProvider(uint256 account, address caller);
    error SlaNotTenant(uint256 agreement, address caller);
    error SlaNotParty(uint256 agreement, address caller);
    error SlaBadTerms(string field);
    error SlaBadObjective(uint256 objective);
    error SlaBadOracle(address oracle);
    error SlaWrongStatus(uint256 agreement, AgreementStatus status);
    error SlaUnknownWindow(uint256 agreement, uint32 window);
    error SlaNotOracle(uint256 agreement, address caller);
    error SlaTooEarly(uint256 agreement, uint32 window, uint64 earliest);
    error SlaTooLate(uint256 agreement, uint32 window, uint64 latest);
    error SlaAlreadyReported(uint256 agreement, uint32 window, address oracle);
    error SlaWrongValues(uint256 given, uint256 needed);
    error SlaWrongWindowStatus(uint256 agreement, uint32 window, WindowStatus status);
    error SlaMaintenanceUsedUp(uint256 agreement, uint32 block_, uint32 most);
    error SlaUnderMaintenance(uint256 agreement, uint32 window);
    error SlaNotDisputes(address caller);
    error SlaUnknownDispute(uint256 dispute);

    /// @notice Provider of the account: propose an agreement. Oracles are its neutral ones, none of them a party.
    function propose(Terms calldata terms, Objective[] calldata objectives, address[] calldata oracles)
        external
        returns (uint256 agreement);
    /// @notice Tenant: accept before window 0 begins.
    function accept(uint256 agreement) external;
    /// @notice Tenant: end it after the window that runs now; provider: a whole block of windows later.
    function end(uint256 agreement) external;
    /// @notice Provider: announce maintenance; these windows are neither penalised nor rewarded.
    function announceMaintenance(uint256 agreement, uint32 first, uint32 count) external;
    /// @notice Oracle: report, for many agreements and windows at once. A report after the grace time is refused.
    function report(Report[] calldata reports) external;
    /// @notice Anyone: assess windows when all oracles reported, or the grace time is over. Without a quorum a window is
    /// unmeasured: it costs and earns nothing, and each silent oracle is named by an event and counted.
    function assess(uint256 agreement, uint32[] calldata windows) external;
    /// @notice Party: object to an assessment in time; opens a dispute.
    function contest(uint256 agreement, uint32 window, bytes32 evidence) external;
    /// @notice Anyone: credit assessed windows into billing when the time to object is over.
    function credit(uint256 agreement, uint32[] calldata windows) external;

    function agreementOf(uint256 agreement) external view returns (Agreement memory);
    function objectivesOf(uint256 agreement) external view returns (Objective[] memory);
    function oraclesOf(uint256 agreement) external view returns (address[] memory);
    function windowOf(uint256 agreement, uint32 window) external view returns (Window memory);
    /// @notice How often the oracle was silent about windows of the agreement.
    function missedBy(uint256 agreement, address oracle) external view returns (uint32);
    /// @notice Penalties and rewards assessed in a block of windows so far.
    function assessedIn(uint256 agreement, uint32 block_) external view returns (uint128 penalty, uint128 reward);
}
