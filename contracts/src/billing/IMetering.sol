// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UsageTree} from "./UsageTree.sol";

/// @title Rate cards, accounts and usage
/// @notice A provider publishes versioned rate cards and opens accounts with tenants; meters report usage in batches:
/// the records stay off chain, the chain holds the root of a tree of quantities and its total. Provider, tenant and
/// auditor counter-sign each batch, by transaction or by EIP-712 signature; a party that disagrees opens a dispute.
/// Erasure: a record is a salted hash here; destroying the record off chain leaves quantity and hash, which name nobody.
interface IMetering {
    enum BatchStatus {
        None,
        Submitted,
        Confirmed,
        Disputed,
        Void
    }

    struct Rate {
        /// @notice Price of `per` units, in integer units of the settlement token.
        uint128 price;
        /// @notice How many units the price is for; never zero.
        uint128 per;
    }

    struct Account {
        address provider;
        bool prepaid;
        /// @notice Whether the tenant accepted and nobody closed it.
        bool open;
        /// @notice Seconds between an invoice and its being due (postpaid).
        uint32 termsSeconds;
        address tenant;
        address auditor;
        bytes32 card;
    }

    struct Batch {
        uint256 account;
        bytes32 meter;
        bytes32 root;
        /// @notice First second of the window.
        uint64 from;
        /// @notice First second after the window.
        uint64 to;
        /// @notice Number of records.
        uint64 count;
        /// @notice When it was submitted.
        uint64 submittedAt;
        /// @notice Sum of quantities, in units of the meter.
        uint128 total;
        /// @notice Version of the rate card in force during the whole window.
        uint32 version;
        /// @notice Who confirmed: 1 provider, 2 tenant, 4 auditor, added up.
        uint8 confirmations;
        BatchStatus status;
        /// @notice The batch that replaced this one after it was voided; zero when none.
        uint256 replacedBy;
    }

    event RatesPublished(bytes32 indexed card, uint32 indexed version, address indexed provider, uint64 effectiveFrom);
    event RateSet(bytes32 indexed card, uint32 indexed version, bytes32 indexed meter, uint128 price, uint128 per);
    event AccountOpened(
        uint256 indexed account, address indexed provider, address indexed tenant, address auditor, bytes32 card
    );
    event AccountAccepted(uint256 indexed account);
    event AccountClosed(uint256 indexed account, address by);
    event UsageSubmitted(
        uint256 indexed batch,
        uint256 indexed account,
        bytes32 indexed meter,
        uint64 from,
        uint64 to,
        bytes32 root,
        uint64 count,
        uint128 total,
        bytes32 documentHash
    );
    event UsageSigned(uint256 indexed batch, address indexed party);
    event UsageConfirmed(uint256 indexed batch, uint8 confirmations);
    event UsageContested(uint256 indexed batch, address indexed party, uint256 indexed dispute, bytes32 evidence);
    event UsageVoided(uint256 indexed batch, bytes32 reason);
    event UsageReplaced(uint256 indexed batch, uint256 indexed replacement);

    error MeteringNotCardOwner(bytes32 card, address caller);
    error MeteringTooSoon(uint64 effectiveFrom, uint64 earliest);
    error MeteringBadRate(bytes32 meter);
    error MeteringUnknownRate(bytes32 card, bytes32 meter, uint64 time);
    error MeteringPartiesNotDistinct();
    error MeteringNotTenant(uint256 account, address caller);
    error MeteringNotParty(uint256 account, address caller);
    error MeteringAccountNotOpen(uint256 account);
    error MeteringAccountSettled(uint256 account);
    error MeteringBadWindow(uint64 from, uint64 to, uint64 earliest);
    error MeteringStraddlesVersions(uint64 from, uint64 to);
    error MeteringNoRecords();
    error MeteringWrongStatus(uint256 batch, BatchStatus status);
    error MeteringAlreadySigned(uint256 batch, address party);
    error MeteringBadSignature(uint256 batch, address party);
    error MeteringNotYet(uint256 batch, uint64 earliest);
    error MeteringTooFewSignatures(uint256 batch, uint8 confirmations);
    error MeteringAlreadyReplaced(uint256 batch, uint256 replacement);
    error MeteringNotDisputes(address caller);
    error MeteringUnknownDispute(uint256 dispute);

    /// @notice A batch as it is reported.
    struct Usage {
        uint256 account;
        bytes32 meter;
        /// @notice First second of the window.
        uint64 from;
        /// @notice First second after the window.
        uint64 to;
        /// @notice Root of the tree of quantities (see UsageTree).
        bytes32 root;
        /// @notice Number of records.
        uint64 count;
        /// @notice Sum of quantities.
        uint128 total;
        /// @notice Hash of the file with the records, for whoever fetches it.
        bytes32 documentHash;
    }

    /// @notice One rate of a card.
    struct MeterRate {
        bytes32 meter;
        Rate rate;
    }

    /// @notice Publish the next version of a card; who publishes the first owns the card. The first may start at once,
    /// each later one after the notice period: no price changes backwards or by surprise.
    function publishRates(bytes32 card, uint64 effectiveFrom, MeterRate[] calldata rates)
        external
        returns (uint32 version);
    /// @notice Card owner: offer an account to a tenant.
    function openAccount(address tenant, address auditor, bytes32 card, bool prepaid, uint32 termsSeconds)
        external
        returns (uint256 account);
    /// @notice Tenant: accept the account.
    function acceptAccount(uint256 account) external;
    /// @notice Provider or tenant: no more usage from now on; earlier usage is still reported and owed.
    function closeAccount(uint256 account) external;

    /// @notice Report batches. Windows of one meter of an account never overlap, and lie between the tenant's acceptance
    /// and the closing of the account. Restricted to meters.
    /// @return first Id of the first batch; the others follow.
    function submitUsage(Usage[] calldata usages) external returns (uint256 first);
    /// @notice Report again what a ruling voided, for the same window. Restricted to meters.
    function replaceUsage(uint256 batch, bytes32 root, uint64 count, uint128 total, bytes32 documentHash)
        external
        returns (uint256 replacement);
    /// @notice Party: confirm batches.
    function confirmUsage(uint256[] calldata batches) external;
    /// @notice Deliver a party's EIP-712 signature (type UsageConfirmation, see `confirmationDigest`).
    function confirmUsageFor(uint256 batch, address party, bytes calldata signature) external;
    /// @notice Anyone: two parties confirmed and the third was silent for the whole answering time.
    function confirmByDefault(uint256 batch) external;
    /// @notice Party: disagree; opens a dispute between the three.
    function contestUsage(uint256 batch, bytes32 evidence) external;

    function rateAt(bytes32 card, bytes32 meter, uint64 time) external view returns (Rate memory rate, uint32 version);
    function accountOf(uint256 account) external view returns (Account memory);
    function batchOf(uint256 batch) external view returns (Batch memory);
    /// @notice End of the last window reported for a meter of an account.
    function windowEnd(uint256 account, bytes32 meter) external view returns (uint64);
    /// @notice What the batch costs: total * price / per, rounded half up, once for the whole batch.
    function amountOf(uint256 batch) external view returns (uint256);
    /// @notice Whether (`record`, `quantity`) is record `index` of the batch.
    function verifyRecord(
        uint256 batch,
        bytes32 record,
        uint128 quantity,
        uint256 index,
        UsageTree.Node[] calldata proof
    ) external view returns (bool);
    /// @notice What a party signs to confirm.
    function confirmationDigest(uint256 batch) external view returns (bytes32);
}
