// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {UUPSUpgradeable} from "@openzeppelin/contracts-upgradeable/proxy/utils/UUPSUpgradeable.sol";
import {AccessManagedUpgradeable} from "@openzeppelin/contracts-upgradeable/access/manager/AccessManagedUpgradeable.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IDisputes, IDisputeListener} from "../governance/IDisputes.sol";
import {IMetering} from "./IMetering.sol";
import {Rounding} from "./Rounding.sol";
import {UsageTree} from "./UsageTree.sol";

/// @title Rate cards, accounts and usage
/// @notice See {IMetering}.
contract Metering is IMetering, IDisputeListener, AccessManagedUpgradeable, EIP712Upgradeable, UUPSUpgradeable {
    struct Card {
        address owner;
        /// @dev effectiveFrom of each version, rising.
        uint64[] versions;
    }

    /// @dev When usage counts: from the tenant's word until somebody closes the account; zero is not yet.
    struct Term {
        uint64 acceptedAt;
        uint64 closedAt;
    }

    /// @custom:storage-location erc7201:phoenix.storage.Metering
    struct MeteringStorage {
        IDisputes disputes;
        mapping(bytes32 card => Card) cards;
        mapping(bytes32 card => mapping(uint32 version => mapping(bytes32 meter => Rate))) rates;
        mapping(uint256 id => Account) accounts;
        mapping(uint256 id => Term) terms;
        mapping(uint256 account => mapping(bytes32 meter => uint64)) windowEnds;
        mapping(uint256 id => Batch) batches;
        mapping(uint256 dispute => uint256) contested;
        uint256 accountCount;
        uint256 batchCount;
    }

    bytes32 private constant STORAGE = 0x6cbf1eccb1360bdfa1fd0f3c5c5f923a2440586078b5de27be65c234229c7a00;
    bytes32 private constant CONFIRMATION = keccak256(
        "UsageConfirmation(uint256 batch,uint256 account,bytes32 meter,uint64 from,uint64 to,bytes32 root,uint64 count,uint128 total)"
    );
    /// @notice Seconds between publishing a later version of a card and its taking effect, at least.
    uint64 public constant NOTICE_SECONDS = 7 days;
    /// @notice Seconds a party has to answer before silence counts as consent.
    uint64 public constant ANSWER_SECONDS = 7 days;
    uint8 private constant PROVIDER = 1;
    uint8 private constant TENANT = 2;
    uint8 private constant AUDITOR = 4;
    uint8 private constant ALL = PROVIDER | TENANT | AUDITOR;

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Start under the registry of roles at `authority`, with disputes ruled on by `disputes`.
    function initialize(address authority, IDisputes disputes) external initializer {
        __AccessManaged_init(authority);
        __EIP712_init("PhoenixMetering", "1");
        __UUPSUpgradeable_init();
        _storage().disputes = disputes;
    }

    /// @inheritdoc IMetering
    function publishRates(bytes32 card, uint64 effectiveFrom, MeterRate[] calldata rates)
        external
        returns (uint32 version)
    {
        MeteringStorage storage $ = _storage();
        Card storage it = $.cards[card];
        uint64 earliest = uint64(block.timestamp);
        if (it.owner == address(0)) {
            it.owner = msg.sender;
        } else {
            if (it.owner != msg.sender) revert MeteringNotCardOwner(card, msg.sender);
            earliest += NOTICE_SECONDS;
            uint64 last = it.versions[it.versions.length - 1];
            if (last >= earliest) earliest = last + 1;
        }
        if (effectiveFrom < earliest) revert MeteringTooSoon(effectiveFrom, earliest);
        it.versions.push(effectiveFrom);
        version = uint32(it.versions.length);
        emit RatesPublished(card, version, msg.sender, effectiveFrom);
        for (uint256 i = 0; i < rates.length; ++i) {
            bytes32 meter = rates[i].meter;
            Rate calldata rate = rates[i].rate;
            if (rate.per == 0 || $.rates[card][version][meter].per != 0) revert MeteringBadRate(meter);
            $.rates[card][version][meter] = rate;
            emit RateSet(card, version, meter, rate.price, rate.per);
        }
    }

    /// @inheritdoc IMetering
    function openAccount(address tenant, address auditor, bytes32 card, bool prepaid, uint32 termsSeconds)
        external
        returns (uint256 account)
    {
        MeteringStorage storage $ = _storage();
        if ($.cards[card].owner != msg.sender) revert MeteringNotCardOwner(card, msg.sender);
        bool distinct = tenant != msg.sender && auditor != msg.sender && tenant != auditor;
        if (!distinct || tenant == address(0) || auditor == address(0)) revert MeteringPartiesNotDistinct();
        account = ++$.accountCount;
        $.accounts[account] = Account({
            provider: msg.sender,
            prepaid: prepaid,
            open: false,
            termsSeconds: termsSeconds,
            tenant: tenant,
            auditor: auditor,
            card: card
        });
        emit AccountOpened(account, msg.sender, tenant, auditor, card);
    }

    /// @inheritdoc IMetering
    function acceptAccount(uint256 account) external {
        MeteringStorage storage $ = _storage();
        Account storage it = $.accounts[account];
        if (it.tenant != msg.sender) revert MeteringNotTenant(account, msg.sender);
        if (it.open || $.terms[account].closedAt != 0) revert MeteringAccountSettled(account);
        it.open = true;
        $.terms[account].acceptedAt = uint64(block.timestamp);
        emit AccountAccepted(account);
    }

    /// @inheritdoc IMetering
    function closeAccount(uint256 account) external {
        MeteringStorage storage $ = _storage();
        Account storage it = $.accounts[account];
        bool party = msg.sender == it.provider || msg.sender == it.tenant;
        if (!party) revert MeteringNotParty(account, msg.sender);
        if ($.terms[account].closedAt != 0) revert MeteringAccountSettled(account);
        it.open = false;
        $.terms[account].closedAt = uint64(block.timestamp);
        emit AccountClosed(account, msg.sender);
    }

    /// @inheritdoc IMetering
    function submitUsage(Usage[] calldata usages) external restricted returns (uint256 first) {
        MeteringStorage storage $ = _storage();
        first = $.batchCount + 1;
        for (uint256 i = 0; i < usages.length; ++i) {
            Usage calldata usage = usages[i];
            Batch memory made;
            made.version = _enterWindow($, usage);
            (made.account, made.meter, made.from, made.to) = (usage.account, usage.meter, usage.from, usage.to);
            (made.root, made.count, made.total) = (usage.root, usage.count, usage.total);
            _submit($, made, usage.documentHash);
        }
    }

    /// @inheritdoc IMetering
    function replaceUsage(uint256 batch, bytes32 root, uint64 count, uint128 total, bytes32 documentHash)
        external
        restricted
        returns (uint256 replacement)
    {
        MeteringStorage storage $ = _storage();
        Batch memory made = $.batches[batch];
        if (made.status != BatchStatus.Void) revert MeteringWrongStatus(batch, made.status);
        if (made.replacedBy != 0) revert MeteringAlreadyReplaced(batch, made.replacedBy);
        (made.root, made.count, made.total, made.confirmations) = (root, count, total, 0);
        replacement = _submit($, made, documentHash);
        $.batches[batch].replacedBy = replacement;
        emit UsageReplaced(batch, replacement);
    }

    /// @inheritdoc IMetering
    function confirmUsage(uint256[] calldata batches) external {
        for (uint256 i = 0; i < batches.length; ++i) {
            _confirm(batches[i], msg.sender);
        }
    }

    /// @inheritdoc IMetering
    function confirmUsageFor(uint256 batch, address party, bytes calldata signature) external {
        if (!SignatureChecker.isValidSignatureNow(party, confirmationDigest(batch), signature)) {
            revert MeteringBadSignature(batch, party);
        }
        _confirm(batch, party);
    }

    /// @inheritdoc IMetering
    function confirmByDefault(uint256 batch) external {
        Batch storage it = _submitted(batch);
        uint64 earliest = it.submittedAt + ANSWER_SECONDS;
        if (block.timestamp < earliest) revert MeteringNotYet(batch, earliest);
        uint8 given = it.confirmations;
        // Two of three bits: clearing the lowest must leave exactly one.
        uint8 rest = given & (given - (given == 0 ? 0 : 1));
        if (rest == 0) revert MeteringTooFewSignatures(batch, given);
        it.status = BatchStatus.Confirmed;
        emit UsageConfirmed(batch, given);
    }

    /// @inheritdoc IMetering
    function contestUsage(uint256 batch, bytes32 evidence) external {
        MeteringStorage storage $ = _storage();
        Batch storage it = _submitted(batch);
        Account storage account = $.accounts[it.account];
        uint8 bit = _bitOf(it.account, account, msg.sender);
        it.status = BatchStatus.Disputed;
        // A ruling "upheld" is for the first party: whoever contests.
        address[] memory parties = new address[](3);
        parties[0] = msg.sender;
        parties[1] = bit == PROVIDER ? account.tenant : account.provider;
        parties[2] = bit == AUDITOR ? account.tenant : account.auditor;
        uint256 dispute = $.disputes.open(keccak256(abi.encode("usage", batch)), evidence, parties);
        $.contested[dispute] = batch;
        emit UsageContested(batch, msg.sender, dispute, evidence);
    }

    /// @notice Disputes: the ruling. UPHELD voids the batch, any other lets it stand as confirmed.
    function onRuling(uint256 dispute, uint8 outcome, bytes32 reason) external {
        MeteringStorage storage $ = _storage();
        if (msg.sender != address($.disputes)) revert MeteringNotDisputes(msg.sender);
        uint256 batch = $.contested[dispute];
        if (batch == 0) revert MeteringUnknownDispute(dispute);
        Batch storage it = $.batches[batch];
        if (it.status != BatchStatus.Disputed) revert MeteringWrongStatus(batch, it.status);
        if (outcome == uint8(IDisputes.Outcome.UPHELD)) {
            it.status = BatchStatus.Void;
            emit UsageVoided(batch, reason);
        } else {
            it.status = BatchStatus.Confirmed;
            emit UsageConfirmed(batch, it.confirmations);
        }
    }

    /// @inheritdoc IMetering
    function rateAt(bytes32 card, bytes32 meter, uint64 time)
        public
        view
        returns (Rate memory rate, uint32 version)
    {
        MeteringStorage storage $ = _storage();
        uint64[] storage versions = $.cards[card].versions;
        version = uint32(versions.length);
        while (version != 0 && versions[version - 1] > time) --version;
        rate = $.rates[card][version][meter];
        if (rate.per == 0) revert MeteringUnknownRate(card, meter, time);
    }

    /// @inheritdoc IMetering
    function accountOf(uint256 account) external view returns (Account memory) {
        return _storage().accounts[account];
    }

    /// @inheritdoc IMetering
    function batchOf(uint256 batch) external view returns (Batch memory) {
        return _storage().batches[batch];
    }

    /// @inheritdoc IMetering
    function windowEnd(uint256 account, bytes32 meter) external view returns (uint64) {
        return _storage().windowEnds[account][meter];
    }

    /// @inheritdoc IMetering
    function amountOf(uint256 batch) external view returns (uint256) {
        MeteringStorage storage $ = _storage();
        Batch storage it = $.batches[batch];
        Rate storage rate = $.rates[$.accounts[it.account].card][it.version][it.meter];
        return Rounding.halfUp(uint256(it.total) * rate.price, rate.per);
    }

    /// @inheritdoc IMetering
    function verifyRecord(
        uint256 batch,
        bytes32 record,
        uint128 quantity,
        uint256 index,
        UsageTree.Node[] calldata proof
    ) external view returns (bool) {
        Batch storage it = _storage().batches[batch];
        return UsageTree.includes(it.root, it.total, it.count, record, quantity, index, proof);
    }

    /// @inheritdoc IMetering
    function confirmationDigest(uint256 batch) public view returns (bytes32) {
        Batch storage it = _storage().batches[batch];
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    CONFIRMATION, batch, it.account, it.meter, it.from, it.to, it.root, it.count, it.total
                )
            )
        );
    }

    /// @dev Upgrades come through the authority only: the governance timelock.
    function _authorizeUpgrade(address) internal override restricted {}

    /// @dev The window follows the last one, and one version of the card covers it.
    function _enterWindow(MeteringStorage storage $, Usage calldata usage) private returns (uint32 version) {
        Account storage it = $.accounts[usage.account];
        Term storage term = $.terms[usage.account];
        // What was used before the account was closed is still reported, and still owed.
        bool after_ = term.closedAt != 0 && usage.to > term.closedAt;
        if (term.acceptedAt == 0 || after_) revert MeteringAccountNotOpen(usage.account);
        uint64 earliest = $.windowEnds[usage.account][usage.meter];
        if (earliest < term.acceptedAt) earliest = term.acceptedAt;
        if (usage.from < earliest || usage.from >= usage.to || usage.to > block.timestamp) {
            revert MeteringBadWindow(usage.from, usage.to, earliest);
        }
        (, version) = rateAt(it.card, usage.meter, usage.from);
        (, uint32 endVersion) = rateAt(it.card, usage.meter, usage.to - 1);
        if (version != endVersion) revert MeteringStraddlesVersions(usage.from, usage.to);
        $.windowEnds[usage.account][usage.meter] = usage.to;
    }

    function _submit(MeteringStorage storage $, Batch memory made, bytes32 documentHash)
        private
        returns (uint256 batch)
    {
        if (made.count == 0) revert MeteringNoRecords();
        batch = ++$.batchCount;
        made.status = BatchStatus.Submitted;
        made.submittedAt = uint64(block.timestamp);
        $.batches[batch] = made;
        emit UsageSubmitted(
            batch,
            made.account,
            made.meter,
            made.from,
            made.to,
            made.root,
            made.count,
            made.total,
            documentHash
        );
    }

    function _confirm(uint256 batch, address party) private {
        Batch storage it = _submitted(batch);
        uint8 bit = _bitOf(it.account, _storage().accounts[it.account], party);
        if (it.confirmations & bit != 0) revert MeteringAlreadySigned(batch, party);
        it.confirmations |= bit;
        emit UsageSigned(batch, party);
        if (it.confirmations == ALL) {
            it.status = BatchStatus.Confirmed;
            emit UsageConfirmed(batch, ALL);
        }
    }

    function _submitted(uint256 batch) private view returns (Batch storage it) {
        it = _storage().batches[batch];
        if (it.status != BatchStatus.Submitted) revert MeteringWrongStatus(batch, it.status);
    }

    function _bitOf(uint256 account, Account storage it, address party) private view returns (uint8) {
        if (party == it.provider) return PROVIDER;
        if (party == it.tenant) return TENANT;
        if (party == it.auditor) return AUDITOR;
        revert MeteringNotParty(account, party);
    }

    function _storage() private pure returns (MeteringStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
