// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {Governed} from "../governance/Governed.sol";
import {IRegionRegistry} from "./IRegionRegistry.sol";

/// @title Regions and sites
/// @notice See {IRegionRegistry}.
contract RegionRegistry is IRegionRegistry, Governed {
    /// @custom:storage-location erc7201:phoenix.storage.RegionRegistry
    struct RegionStorage {
        mapping(bytes32 jurisdiction => bool) jurisdictions;
        mapping(bytes32 region => bytes32 jurisdiction) regions;
        mapping(bytes32 site => Site) sites;
        mapping(bytes32 region => bytes32[]) members;
        mapping(bytes32 site => address) proposed;
        mapping(bytes32 site => bytes32[]) failover; // lowest priority first
        mapping(bytes32 from => mapping(bytes32 to => uint32)) priorities;
    }

    bytes32 private constant STORAGE = 0x8af090510127324f41a8d8fbd413375ac2ce5ae8f24ccf30829a60f78978b900;

    /// @notice Start under the registry of roles at `authority`.
    function initialize(address authority) external initializer {
        __Governed_init(authority);
    }

    /// @inheritdoc IRegionRegistry
    function addJurisdiction(bytes32 jurisdiction, string calldata name) external restricted whenNotPaused {
        RegionStorage storage $ = _storage();
        if (jurisdiction == 0) revert RegionRegistryZeroId();
        if ($.jurisdictions[jurisdiction]) revert RegionRegistryExists(jurisdiction);
        $.jurisdictions[jurisdiction] = true;
        emit JurisdictionAdded(jurisdiction, name);
    }

    /// @inheritdoc IRegionRegistry
    function addRegion(bytes32 region, bytes32 jurisdiction, string calldata name) external restricted whenNotPaused {
        RegionStorage storage $ = _storage();
        if (region == 0) revert RegionRegistryZeroId();
        if (!$.jurisdictions[jurisdiction]) revert RegionRegistryUnknownJurisdiction(jurisdiction);
        if ($.regions[region] != 0) revert RegionRegistryExists(region);
        $.regions[region] = jurisdiction;
        emit RegionAdded(region, jurisdiction, name);
    }

    /// @inheritdoc IRegionRegistry
    function addSite(bytes32 site_, bytes32 region, Tier tier, address operator, bytes32 evidence)
        external
        restricted
        whenNotPaused
    {
        RegionStorage storage $ = _storage();
        if (site_ == 0) revert RegionRegistryZeroId();
        if ($.regions[region] == 0) revert RegionRegistryUnknownRegion(region);
        if ($.sites[site_].tier != Tier.NONE) revert RegionRegistryExists(site_);
        if (tier == Tier.NONE) revert RegionRegistryNoTier(site_);
        if (operator == address(0)) revert RegionRegistryZeroOperator(site_);
        $.sites[site_] = Site(region, tier, true, operator, evidence);
        $.members[region].push(site_);
        emit SiteAdded(site_, region, tier, operator, evidence);
    }

    /// @inheritdoc IRegionRegistry
    function setSiteActive(bytes32 site_, bool active) external restricted {
        _known(site_).active = active;
        emit SiteActivityChanged(site_, active);
    }

    /// @inheritdoc IRegionRegistry
    function setSiteTier(bytes32 site_, Tier tier) external restricted whenNotPaused {
        if (tier == Tier.NONE) revert RegionRegistryNoTier(site_);
        _known(site_).tier = tier;
        emit SiteTierChanged(site_, tier);
    }

    /// @inheritdoc IRegionRegistry
    function proposeOperator(bytes32 site_, address operator) external {
        if (_known(site_).operator != msg.sender) revert RegionRegistryNotOperator(site_, msg.sender);
        _storage().proposed[site_] = operator;
        emit OperatorProposed(site_, operator);
    }

    /// @inheritdoc IRegionRegistry
    function acceptOperator(bytes32 site_) external whenNotPaused {
        RegionStorage storage $ = _storage();
        Site storage found = _known(site_);
        if ($.proposed[site_] != msg.sender) revert RegionRegistryNoTransfer(site_, msg.sender);
        delete $.proposed[site_];
        address before = found.operator;
        found.operator = msg.sender;
        emit OperatorChanged(site_, before, msg.sender);
    }

    /// @inheritdoc IRegionRegistry
    function setAdjacency(bytes32 from, bytes32 to, uint32 priority) external restricted {
        RegionStorage storage $ = _storage();
        _known(from);
        _known(to);
        if (from == to) revert RegionRegistrySameSite(from);
        if ($.priorities[from][to] == priority) revert RegionRegistryAdjacencyUnchanged(from, to);
        bytes32[] storage list = $.failover[from];
        if ($.priorities[from][to] != 0) _drop(list, to);
        $.priorities[from][to] = priority;
        if (priority != 0) {
            list.push(to);
            for (uint256 i = list.length - 1; i > 0 && $.priorities[from][list[i - 1]] > priority; --i) {
                list[i] = list[i - 1];
                list[i - 1] = to;
            }
        }
        emit AdjacencyChanged(from, to, priority);
    }

    /// @inheritdoc IRegionRegistry
    function site(bytes32 id) external view returns (Site memory) {
        return _storage().sites[id];
    }

    /// @inheritdoc IRegionRegistry
    function isActive(bytes32 siteId) external view returns (bool) {
        return _storage().sites[siteId].active;
    }

    /// @inheritdoc IRegionRegistry
    function jurisdictionOf(bytes32 siteId) external view returns (bytes32) {
        RegionStorage storage $ = _storage();
        return $.regions[$.sites[siteId].region];
    }

    /// @inheritdoc IRegionRegistry
    function jurisdictionOfRegion(bytes32 region) external view returns (bytes32) {
        return _storage().regions[region];
    }

    /// @inheritdoc IRegionRegistry
    function failoverOf(bytes32 siteId) external view returns (bytes32[] memory) {
        return _storage().failover[siteId];
    }

    /// @inheritdoc IRegionRegistry
    function sitesOf(bytes32 region) external view returns (bytes32[] memory) {
        return _storage().members[region];
    }

    function _known(bytes32 id) private view returns (Site storage found) {
        found = _storage().sites[id];
        if (found.tier == Tier.NONE) revert RegionRegistryUnknownSite(id);
    }

    function _drop(bytes32[] storage list, bytes32 gone) private {
        uint256 i = 0;
        while (list[i] != gone) ++i;
        for (; i + 1 < list.length; ++i) {
            list[i] = list[i + 1];
        }
        list.pop();
    }

    function _storage() private pure returns (RegionStorage storage $) {
        assembly {
            $.slot := STORAGE
        }
    }
}
