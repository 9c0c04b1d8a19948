// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Where the cloud stands: jurisdictions, regions, sites, who operates them, where they fail over to
/// @notice Holds places and organisations only; no personal data.
interface IRegionRegistry {
    /// @notice How much of the ledger a site carries; NONE is a site that does not exist.
    enum Tier {
        NONE,
        CORE,
        REGIONAL,
        EDGE
    }

    /// @notice A place with machines in it.
    struct Site {
        bytes32 region;
        Tier tier;
        bool active;
        address operator;
        bytes32 evidence; // hash of the off-chain description
    }

    error RegionRegistryZeroId();
    error RegionRegistryZeroOperator(bytes32 site);
    error RegionRegistryUnknownJurisdiction(bytes32 jurisdiction);
    error RegionRegistryUnknownRegion(bytes32 region);
    error RegionRegistryUnknownSite(bytes32 site);
    error RegionRegistryExists(bytes32 id);
    error RegionRegistryNoTier(bytes32 site);
    error RegionRegistrySameSite(bytes32 site);
    error RegionRegistryAdjacencyUnchanged(bytes32 from, bytes32 to);
    error RegionRegistryNotOperator(bytes32 site, address caller);
    error RegionRegistryNoTransfer(bytes32 site, address caller);

    event JurisdictionAdded(bytes32 indexed jurisdiction, string name);
    event RegionAdded(bytes32 indexed region, bytes32 indexed jurisdiction, string name);
    event SiteAdded(bytes32 indexed site, bytes32 indexed region, Tier tier, address indexed operator, bytes32 evidence);
    event SiteActivityChanged(bytes32 indexed site, bool active);
    event SiteTierChanged(bytes32 indexed site, Tier tier);
    event OperatorProposed(bytes32 indexed site, address indexed operator);
    event OperatorChanged(bytes32 indexed site, address indexed before, address indexed operator);
    event AdjacencyChanged(bytes32 indexed from, bytes32 indexed to, uint32 priority);

    /// @notice Enter a jurisdiction: a law that applies ("ISO 3166 code").
    function addJurisdiction(bytes32 jurisdiction, string calldata name) external;

    /// @notice Enter a region of a known jurisdiction.
    function addRegion(bytes32 region, bytes32 jurisdiction, string calldata name) external;

    /// @notice Enter a site of a known region; it begins active.
    function addSite(bytes32 site_, bytes32 region, Tier tier, address operator, bytes32 evidence) external;

    /// @notice Take a site out of service or back into it.
    function setSiteActive(bytes32 site_, bool active) external;

    /// @notice Move a site to another tier.
    function setSiteTier(bytes32 site_, Tier tier) external;

    /// @notice Offer a site to another operator; only its operator may. It changes hands when accepted.
    function proposeOperator(bytes32 site_, address operator) external;

    /// @notice Take over a site that was offered to the caller.
    function acceptOperator(bytes32 site_) external;

    /// @notice Say that `to` takes over when `from` fails; the lowest priority is asked first, 0 removes.
    function setAdjacency(bytes32 from, bytes32 to, uint32 priority) external;

    /// @notice The site; tier NONE where there is none.
    function site(bytes32 id) external view returns (Site memory);

    /// @notice Whether the site exists and is in service.
    function isActive(bytes32 siteId) external view returns (bool);

    /// @notice The jurisdiction of a site, or 0 where there is no such site.
    function jurisdictionOf(bytes32 siteId) external view returns (bytes32);

    /// @notice The jurisdiction of a region, or 0 where there is no such region.
    function jurisdictionOfRegion(bytes32 region) external view returns (bytes32);

    /// @notice Sites that take over from this one, active or not, lowest priority first.
    function failoverOf(bytes32 siteId) external view returns (bytes32[] memory);

    /// @notice Sites of a region in the order they were added.
    function sitesOf(bytes32 region) external view returns (bytes32[] memory);
}
