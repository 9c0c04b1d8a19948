// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IResidency} from "../compliance/IResidency.sol";
import {Governed} from "../governance/Governed.sol";
import {IAccessPolicy} from "../identity/IAccessPolicy.sol";
import {IProvenance} from "../provenance/IProvenance.sol";
import {IRegionRegistry} from "../registry/IRegionRegistry.sol";
import {IProvisioning} from "./IProvisioning.sol";

/// @title Capacity, quotas and leases
/// @notice See {IProvisioning}. A pause stops offers, requests, reservations and growth; what runs may end.
contract Provisioning is IProvisioning, Governed {
    struct Quota {
        uint128 limit;
        uint128 used;
    }

    /// @custom:storage-location erc7201:phoenix.storage.Provisioning
    struct ProvisioningStorage {
        IRegionRegistry regions;
        IAccessPolicy policy;
        IResidency residency;
        IProvenance provenance;
        mapping(uint256 id => Offer) offers;
        mapping(uint256 id => Allocation) allocations;
        mapping(address tenant => mapping(bytes32 resourceClass => Quota)) quotas;
        mapping(bytes32 unit => uint256) holders;
        uint256 offerCount;
        uint256 allocationCount;
    }

    bytes32 private constant STORAGE = 0xc098fa5ff77f5fffd2aee65b86d93cadb7e48bc82727628b163af287a461ac00;
    /// @dev What the access policy is asked: may the tenant be placed at the site?
    bytes32 private constant PLACE = keccak256("provisioning.place");
    /// @dev A reservation that nobody activates must not hold capacity for ever.
    uint64 private constant ACTIVATION_SECONDS_MAX = 1 days;
    uint64 private constant LEASE_SECONDS_MIN = 1 minutes;
    uint64 private constant LEASE_SECONDS_MAX = 3 * 365 days;

    /// @notice Start under the registry of roles at `authority`, asking the four registers given.
    function initialize(
        address authority,
        IRegionRegistry regions,
        IAccessPolicy policy,
        IResidency residency,
        IProvenance provenance
    ) external initializer {
        __Governed_init(authority);
        ProvisioningStorage storage $ = _storage();
        $.regions = regions;
        $.policy = policy;
        $.residency = residency;
        $.provenance = provenance;
    }

    /// @inheritdoc IProvisioning
    function offerCapacity(bytes32 site, bytes32 resourceClass, uint128 capacity)
        external
        whenNotPaused
        returns (uint256 offer)
    {
        ProvisioningStorage storage $ = _storage();
        if ($.regions.site(site).operator != msg.sender) revert ProvisioningNotSiteOperator(site, msg.sender);
        if (capacity == 0) revert ProvisioningNoUnits();
        offer = ++$.offerCount;
        $.offers[offer] = Offer({
            operator: msg.sender,
            open: true,
            site: site,
            resourceClass: resourceClass,
            capacity: capacity,
            committed: 0
        });
        emit CapacityOffered(offer, site, resourceClass, msg.sender, capacity);
    }

    /// @inheritdoc IProvisioning
    function changeCapacity(uint256 offer, uint128 capacity) external {
        Offer storage it = _operated(offer);
        if (capacity < it.committed) revert ProvisioningCapacityCommitted(offer, it.committed, capacity);
        uint128 previous = it.capacity;
        it.capacity = capacity;
        emit CapacityChanged(offer, previous, capacity);
    }

    /// @inheritdoc IProvisioning
    function setOfferOpen(uint256 offer, bool open) external {
        _operated(offer).open = open;
        if (open) {
            emit OfferOpened(offer);
        } else {
            emit OfferClosed(offer);
        }
    }

    /// @inheritdoc IProvisioning
    function setQuota(address tenant, bytes32 resourceClass, uint128 quota) external restricted {
        Quota storage it = _storage().quotas[tenant][resourceClass];
        uint128 previous = it.limit;
        it.limit = quota;
        emit QuotaSet(tenant, resourceClass, previous, quota);
    }

    /// @inheritdoc IProvisioning
    function request(bytes32 resourceClass, uint128 units, bytes32 dataClass, uint64 leaseSeconds)
        external
        whenNotPaused
        returns (uint256 allocation)
    {
        if (units == 0) revert ProvisioningNoUnits();
        if (leaseSeconds < LEASE_SECONDS_MIN || leaseSeconds > LEASE_SECONDS_MAX) {
            revert ProvisioningLeaseOutOfRange(leaseSeconds, LEASE_SECONDS_MIN, LEASE_SECONDS_MAX);
        }
        ProvisioningStorage storage $ = _storage();
        _takeQuota($, msg.sender, resourceClass, units);
        allocation = ++$.allocationCount;
        $.allocations[allocation] = Allocation({
            tenant: msg.sender,
            status: Status.Requested,
            leaseSeconds: leaseSeconds,
            resourceClass: resourceClass,
            dataClass: dataClass,
            offer: 0,
            units: units,
            deadline: 0,
            bound: 0
        });
        emit AllocationRequested(allocation, msg.sender, resourceClass, units, dataClass, leaseSeconds);
    }

    /// @inheritdoc IProvisioning
    function cancel(uint256 allocation) external {
        Allocation storage it = _tenanted(allocation);
        _requireStatus(allocation, it, Status.Requested);
        _end(allocation, it, Status.Cancelled, 0);
    }

    /// @inheritdoc IProvisioning
    function refuse(uint256 allocation, bytes32 reason) external restricted {
        Allocation storage it = _storage().allocations[allocation];
        _requireStatus(allocation, it, Status.Requested);
        _end(allocation, it, Status.Rejected, reason);
    }

    /// @inheritdoc IProvisioning
    function abandon(uint256 allocation, bytes32 reason) external {
        Allocation storage it = _served(allocation);
        _requireStatus(allocation, it, Status.Allocated);
        _end(allocation, it, Status.Rejected, reason);
    }

    /// @inheritdoc IProvisioning
    function allocate(uint256[] calldata allocations, uint256 offer) external whenNotPaused {
        ProvisioningStorage storage $ = _storage();
        Offer storage from = _operated(offer);
        if (!from.open) revert ProvisioningOfferClosed(offer);
        bytes32 site = from.site;
        // The site may have changed hands since the offer.
        if ($.regions.site(site).operator != msg.sender) revert ProvisioningNotSiteOperator(site, msg.sender);
        if (!$.regions.isActive(site)) revert ProvisioningSiteNotActive(site);
        bytes32 jurisdiction = $.regions.jurisdictionOf(site);
        uint64 deadline = uint64(block.timestamp) + ACTIVATION_SECONDS_MAX;
        for (uint256 i = 0; i < allocations.length; ++i) {
            Allocation storage it = $.allocations[allocations[i]];
            _requireStatus(allocations[i], it, Status.Requested);
            if (it.resourceClass != from.resourceClass) revert ProvisioningWrongClass(allocations[i], offer);
            if (!_isResident($, it.dataClass, jurisdiction)) {
                revert ProvisioningNotResident(it.dataClass, jurisdiction);
            }
            if (!$.policy.isAllowed(it.tenant, PLACE, site)) revert ProvisioningNotAllowed(it.tenant, site);
            _commit(offer, from, it.units);
            it.offer = offer;
            it.status = Status.Allocated;
            it.deadline = deadline;
            emit AllocationReserved(allocations[i], offer, site, deadline);
        }
    }

    /// @inheritdoc IProvisioning
    function activate(uint256 allocation) external {
        Allocation storage it = _served(allocation);
        _requireStatus(allocation, it, Status.Allocated);
        _requireInTime(allocation, it);
        uint64 leaseEnd = uint64(block.timestamp) + it.leaseSeconds;
        it.status = Status.Active;
        it.deadline = leaseEnd;
        emit AllocationActivated(allocation, leaseEnd);
    }

    /// @inheritdoc IProvisioning
    function resize(uint256 allocation, uint128 units) external whenNotPaused {
        ProvisioningStorage storage $ = _storage();
        Allocation storage it = _tenanted(allocation);
        _requireStatus(allocation, it, Status.Active);
        _requireInTime(allocation, it);
        if (units == 0) revert ProvisioningNoUnits();
        if (units < it.bound) revert ProvisioningUnitsStillBound(allocation, it.bound);
        Offer storage from = $.offers[it.offer];
        uint128 previous = it.units;
        if (units > previous) {
            if (!from.open) revert ProvisioningOfferClosed(it.offer);
            bytes32 jurisdiction = $.regions.jurisdictionOf(from.site);
            if (!_isResident($, it.dataClass, jurisdiction)) {
                revert ProvisioningNotResident(it.dataClass, jurisdiction);
            }
            if (!$.policy.isAllowed(it.tenant, PLACE, from.site)) {
                revert ProvisioningNotAllowed(it.tenant, from.site);
            }
            _takeQuota($, it.tenant, it.resourceClass, units - previous);
            _commit(it.offer, from, units - previous);
        } else {
            $.quotas[it.tenant][it.resourceClass].used -= previous - units;
            from.committed -= previous - units;
        }
        it.units = units;
        emit AllocationResized(allocation, previous, units);
    }

    /// @inheritdoc IProvisioning
    function extend(uint256 allocation) external {
        Allocation storage it = _served(allocation);
        _requireStatus(allocation, it, Status.Active);
        _requireInTime(allocation, it);
        uint64 previous = it.deadline;
        it.deadline = previous + it.leaseSeconds;
        emit LeaseExtended(allocation, previous, it.deadline);
    }

    /// @inheritdoc IProvisioning
    function release(uint256 allocation, bytes32 reason) external {
        Allocation storage it = _tenanted(allocation);
        if (it.status != Status.Active && it.status != Status.Allocated) {
            revert ProvisioningWrongStatus(allocation, it.status);
        }
        _end(allocation, it, Status.Released, reason);
    }

    /// @inheritdoc IProvisioning
    function expire(uint256[] calldata allocations) external {
        for (uint256 i = 0; i < allocations.length; ++i) {
            Allocation storage it = _storage().allocations[allocations[i]];
            if (it.status != Status.Active && it.status != Status.Allocated) {
                revert ProvisioningWrongStatus(allocations[i], it.status);
            }
            if (block.timestamp < it.deadline) revert ProvisioningNotExpired(allocations[i], it.deadline);
            _end(allocations[i], it, Status.Expired, 0);
        }
    }

    /// @inheritdoc IProvisioning
    function bindUnits(uint256 allocation, bytes32[] calldata units) external {
        ProvisioningStorage storage $ = _storage();
        Allocation storage it = _served(allocation);
        if (it.status != Status.Active && it.status != Status.Allocated) {
            revert ProvisioningWrongStatus(allocation, it.status);
        }
        if (it.bound + units.length > it.units) revert ProvisioningTooManyBound(allocation, it.units);
        it.bound += uint64(units.length);
        for (uint256 i = 0; i < units.length; ++i) {
            uint256 holder = $.holders[units[i]];
            if (holder != 0) revert ProvisioningUnitTaken(units[i], holder);
            if ($.provenance.custodianOf(units[i]) != msg.sender) {
                revert ProvisioningUnitNotHeld(units[i], msg.sender);
            }
            if ($.provenance.isRecalled(units[i])) revert ProvisioningUnitRecalled(units[i]);
            $.holders[units[i]] = allocation;
            emit UnitBound(units[i], allocation);
        }
    }

    /// @inheritdoc IProvisioning
    function freeUnits(uint256 allocation, bytes32[] calldata units) external {
        ProvisioningStorage storage $ = _storage();
        Allocation storage it = _served(allocation);
        for (uint256 i = 0; i < units.length; ++i) {
            if ($.holders[units[i]] != allocation) revert ProvisioningUnitNotBound(units[i], allocation);
            delete $.holders[units[i]];
            it.bound -= 1;
            emit UnitFreed(units[i], allocation);
        }
    }

    /// @inheritdoc IProvisioning
    function offerOf(uint256 offer) external view returns (Offer memory) {
        return _storage().offers[offer];
    }

    /// @inheritdoc IProvisioning
    function allocationOf(uint256 allocation) external view returns (Allocation memory) {
        return _storage().allocations[allocation];
    }

    /// @inheritdoc IProvisioning
    function quotaOf(address tenant, bytes32 resourceClass) external view returns (uint128 quota, uint128 used) {
        Quota storage it = _storage().quotas[tenant][resourceClass];
        return (it.limit, it.used);
    }

    /// @inheritdoc IProvisioning
    function holderOf(bytes32 unit) external view returns (uint256) {
        return _storage().holders[unit];
    }

    /// @inheritdoc IProvisioning
    function isPlaceable(address tenant, bytes32 dataClass, bytes32 site) external view returns (bool) {
        ProvisioningStorage storage $ = _storage();
        return _isResident($, dataClass, $.regions.jurisdictionOf(site)) && $.policy.isAllowed(tenant, PLACE, site);
    }

    function _takeQuota(ProvisioningStorage storage $, address tenant, bytes32 resourceClass, uint128 units) private {
        Quota storage it = $.quotas[tenant][resourceClass];
        uint128 free = it.limit > it.used ? it.limit - it.used : 0;
        if (units > free) revert ProvisioningQuotaExceeded(tenant, resourceClass, units, free);
        it.used += units;
    }

    function _commit(uint256 offer, Offer storage from, uint128 units) private {
        uint128 free = from.capacity - from.committed;
        if (units > free) revert ProvisioningCapacityExceeded(offer, units, free);
        from.committed += units;
    }

    /// @dev The one place where an allocation ends: quota and capacity come back exactly once.
    function _end(uint256 allocation, Allocation storage it, Status status, bytes32 reason) private {
        ProvisioningStorage storage $ = _storage();
        $.quotas[it.tenant][it.resourceClass].used -= it.units;
        if (it.offer != 0) $.offers[it.offer].committed -= it.units;
        it.status = status;
        emit AllocationEnded(allocation, status, reason);
    }

    function _isResident(ProvisioningStorage storage $, bytes32 dataClass, bytes32 jurisdiction)
        private
        view
        returns (bool)
    {
        return dataClass == 0 || $.residency.isResident(dataClass, jurisdiction);
    }

    function _operated(uint256 offer) private view returns (Offer storage it) {
        it = _storage().offers[offer];
        if (it.operator == address(0)) revert ProvisioningUnknownOffer(offer);
        if (it.operator != msg.sender) revert ProvisioningNotOperator(offer, msg.sender);
    }

    function _served(uint256 allocation) private view returns (Allocation storage it) {
        it = _storage().allocations[allocation];
        _operated(it.offer);
    }

    function _tenanted(uint256 allocation) private view returns (Allocation storage it) {
        it = _storage().allocations[allocation];
        if (it.tenant != msg.sender) revert ProvisioningNotTenant(allocation, msg.sender);
    }

    function _requireStatus(uint256 allocation, Allocation storage it, Status status) private view {
        if (it.status != status) revert ProvisioningWrongStatus(allocation, it.status);
    }

    function _requireInTime(uint256 allocation, Allocation storage it) private view {
        if (block.timestamp >= it.deadline) revert ProvisioningExpired(allocation, it.deadline);
    }

    function _storage() private pure returns (ProvisioningStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
