// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Capacity, quotas and leases
/// @notice A site's operator offers capacity of a resource class in whole units (vCPU, GiB, GPU: the class says which).
/// A tenant within its quota requests some of it; the operator allocates from an offer, which reserves it; the
/// allocation becomes active, may be resized, and ends by release or by the end of its lease. Nothing is allocated
/// twice: the units of all living allocations of an offer never exceed its capacity, and a named unit (a host, a
/// disk, a GPU by its provenance id) belongs to one allocation at most. Placement asks the data-residency register and the access
/// policy every time. Tenants and data classes are addresses and hashes; nothing personal is stored.
interface IProvisioning {
    enum Status {
        None,
        Requested,
        Allocated,
        Active,
        Released,
        Expired,
        Rejected,
        Cancelled
    }

    struct Offer {
        address operator;
        bool open;
        bytes32 site;
        bytes32 resourceClass;
        /// @notice Units offered.
        uint128 capacity;
        /// @notice Units of allocations that are alive.
        uint128 committed;
    }

    struct Allocation {
        address tenant;
        Status status;
        /// @notice Seconds the lease lasts from activation.
        uint64 leaseSeconds;
        bytes32 resourceClass;
        /// @notice The class of data it will hold, as declared in the residency register; zero when it holds none.
        bytes32 dataClass;
        uint256 offer;
        uint128 units;
        /// @notice Allocated: activation is due by then. Active: the lease ends then. Seconds since the Unix epoch.
        uint64 deadline;
        /// @notice Named units bound to it.
        uint64 bound;
    }

    event CapacityOffered(
        uint256 indexed offer, bytes32 indexed site, bytes32 indexed resourceClass, address operator, uint128 capacity
    );
    event CapacityChanged(uint256 indexed offer, uint128 previous, uint128 capacity);
    event OfferOpened(uint256 indexed offer);
    event OfferClosed(uint256 indexed offer);
    event QuotaSet(address indexed tenant, bytes32 indexed resourceClass, uint128 previous, uint128 quota);
    event AllocationRequested(
        uint256 indexed allocation,
        address indexed tenant,
        bytes32 indexed resourceClass,
        uint128 units,
        bytes32 dataClass,
        uint64 leaseSeconds
    );
    event AllocationReserved(uint256 indexed allocation, uint256 indexed offer, bytes32 indexed site, uint64 deadline);
    event AllocationActivated(uint256 indexed allocation, uint64 leaseEnd);
    event AllocationResized(uint256 indexed allocation, uint128 previous, uint128 units);
    event LeaseExtended(uint256 indexed allocation, uint64 previous, uint64 leaseEnd);
    event AllocationEnded(uint256 indexed allocation, Status status, bytes32 reason);
    event UnitBound(bytes32 indexed unit, uint256 indexed allocation);
    event UnitFreed(bytes32 indexed unit, uint256 indexed allocation);

    error ProvisioningUnknownOffer(uint256 offer);
    error ProvisioningOfferClosed(uint256 offer);
    error ProvisioningNotOperator(uint256 offer, address caller);
    error ProvisioningNotSiteOperator(bytes32 site, address caller);
    error ProvisioningSiteNotActive(bytes32 site);
    error ProvisioningNoUnits();
    error ProvisioningCapacityCommitted(uint256 offer, uint128 committed, uint128 capacity);
    error ProvisioningCapacityExceeded(uint256 offer, uint128 wanted, uint128 free);
    error ProvisioningQuotaExceeded(address tenant, bytes32 resourceClass, uint128 wanted, uint128 free);
    error ProvisioningWrongStatus(uint256 allocation, Status status);
    error ProvisioningNotTenant(uint256 allocation, address caller);
    error ProvisioningWrongClass(uint256 allocation, uint256 offer);
    error ProvisioningNotResident(bytes32 dataClass, bytes32 jurisdiction);
    error ProvisioningNotAllowed(address tenant, bytes32 site);
    error ProvisioningLeaseOutOfRange(uint64 leaseSeconds, uint64 least, uint64 most);
    error ProvisioningNotExpired(uint256 allocation, uint64 deadline);
    error ProvisioningExpired(uint256 allocation, uint64 deadline);
    error ProvisioningUnitTaken(bytes32 unit, uint256 allocation);
    error ProvisioningUnitNotBound(bytes32 unit, uint256 allocation);
    error ProvisioningUnitNotHeld(bytes32 unit, address operator);
    error ProvisioningUnitRecalled(bytes32 unit);
    error ProvisioningTooManyBound(uint256 allocation, uint128 units);
    error ProvisioningUnitsStillBound(uint256 allocation, uint64 bound);

    /// @notice Operator of the site: offer capacity.
    function offerCapacity(bytes32 site, bytes32 resourceClass, uint128 capacity) external returns (uint256 offer);
    /// @notice Operator: change an offer's capacity, never below what is committed.
    function changeCapacity(uint256 offer, uint128 capacity) external;
    /// @notice Operator: take no more allocations from the offer, or take them again. Living ones stay.
    function setOfferOpen(uint256 offer, bool open) external;
    /// @notice Set how many units of a class a tenant may hold in all. Restricted.
    /// @dev A quota below what is held takes nothing away; it only stops more.
    function setQuota(address tenant, bytes32 resourceClass, uint128 quota) external;

    /// @notice Tenant: request units. The quota is taken at once, so that a thousand requests cannot outrun it.
    function request(bytes32 resourceClass, uint128 units, bytes32 dataClass, uint64 leaseSeconds)
        external
        returns (uint256 allocation);
    /// @notice Tenant: take back a request that nobody has served.
    function cancel(uint256 allocation) external;
    /// @notice Refuse a request that nobody has served. Restricted to schedulers.
    function refuse(uint256 allocation, bytes32 reason) external;
    /// @notice Operator: abandon a reservation before activation.
    function abandon(uint256 allocation, bytes32 reason) external;
    /// @notice Operator: reserve units of an offer for requests, one offer each. A failed check reverts all.
    function allocate(uint256[] calldata allocations, uint256 offer) external;
    /// @notice Operator: the resources run; the lease starts.
    function activate(uint256 allocation) external;
    /// @notice Tenant: grow or shrink. Growth needs quota and capacity now.
    function resize(uint256 allocation, uint128 units) external;
    /// @notice Operator: prolong the lease by its own length.
    function extend(uint256 allocation) external;
    /// @notice Tenant: give everything back.
    function release(uint256 allocation, bytes32 reason) external;
    /// @notice Anyone: end allocations whose deadline has passed.
    function expire(uint256[] calldata allocations) external;
    /// @notice Operator: bind named units, by their provenance ids; no more of them than units allocated. The operator
    /// must hold each in the provenance register, and none may be recalled.
    function bindUnits(uint256 allocation, bytes32[] calldata units) external;
    /// @notice Operator: free named units of an allocation, alive or ended. A unit stays taken after the end until the
    /// operator frees it, which is its word that nothing of the tenant is left on it.
    function freeUnits(uint256 allocation, bytes32[] calldata units) external;

    function offerOf(uint256 offer) external view returns (Offer memory);
    function allocationOf(uint256 allocation) external view returns (Allocation memory);
    /// @notice Quota and how much of it is taken.
    function quotaOf(address tenant, bytes32 resourceClass) external view returns (uint128 quota, uint128 used);
    /// @notice Which allocation holds a named unit; zero when none.
    function holderOf(bytes32 unit) external view returns (uint256);
    /// @notice Whether the placement would pass residency and policy.
    function isPlaceable(address tenant, bytes32 dataClass, bytes32 site) external view returns (bool);
}
