// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Governed} from "../governance/Governed.sol";
import {IDisputes, IDisputeListener} from "../governance/IDisputes.sol";
import {IBilling} from "./IBilling.sol";
import {IMetering} from "./IMetering.sol";
import {Rounding} from "./Rounding.sol";

/// @title Invoices and settlement
/// @notice See {IBilling}. A pause stops all that moves money.
contract Billing is IBilling, IDisputeListener, Governed {
    using SafeERC20 for IERC20;

    /// @custom:storage-location erc7201:phoenix.storage.Billing
    struct BillingStorage {
        IERC20 token;
        IMetering metering;
        IDisputes disputes;
        mapping(uint256 id => Invoice) invoices;
        mapping(uint256 batch => uint256) invoicedIn;
        mapping(uint256 account => int256) pending;
        mapping(address party => uint256) balances;
        mapping(address party => uint256) owed;
        mapping(uint256 dispute => uint256) contested;
        uint256 invoiceCount;
        uint256 held;
    }

    bytes32 private constant STORAGE = 0xf72da988165ce5e3533c981162334ea1446432294eb76a1a4817960ecc03c600;
    uint256 private constant MILLION = 1_000_000;
    /// @dev Netting looks each invoice's parties up in a list: its square bounds the cost.
    uint256 private constant PARTIES_MAX = 32;
    /// @dev Far beyond any sum of money, far below where adding could overflow.
    int256 private constant AMOUNT_MAX = type(int128).max;

    /// @notice Start under the registry of roles at `authority`, settling in `token` what `metering` counted.
    function initialize(address authority, IERC20 token, IMetering metering, IDisputes disputes)
        external
        initializer
    {
        __Governed_init(authority);
        BillingStorage storage $ = _storage();
        $.token = token;
        $.metering = metering;
        $.disputes = disputes;
    }

    /// @inheritdoc IBilling
    function adjust(uint256 account, int256 amount, bytes32 reason) external restricted {
        BillingStorage storage $ = _storage();
        if (amount == 0) revert BillingZeroAmount();
        if (amount > AMOUNT_MAX || amount < -AMOUNT_MAX) revert BillingAmountOutOfRange(amount);
        if ($.metering.accountOf(account).tenant == address(0)) revert BillingUnknownAccount(account);
        int256 pending = $.pending[account] + amount;
        $.pending[account] = pending;
        emit AdjustmentMade(account, msg.sender, amount, pending, reason);
    }

    /// @inheritdoc IBilling
    function issue(uint256 account, uint64 from, uint64 to, uint256[] calldata batches, Tax[] calldata taxes)
        external
        restricted
        whenNotPaused
        returns (uint256 invoice)
    {
        BillingStorage storage $ = _storage();
        if (from >= to || to > block.timestamp) revert BillingBadPeriod(from, to);
        IMetering.Account memory parties = $.metering.accountOf(account);
        if (parties.tenant == address(0)) revert BillingUnknownAccount(account);
        if (batches.length == 0 && $.pending[account] <= 0) revert BillingNothingToInvoice(account);
        invoice = ++$.invoiceCount;
        Invoice storage it = $.invoices[invoice];
        (it.account, it.provider, it.tenant) = (account, parties.provider, parties.tenant);
        (it.from, it.to, it.batches) = (from, to, batches);
        uint256 total = _draw($, invoice, batches, taxes);
        it.total = total;
        it.status = InvoiceStatus.Open;
        it.dueAt = uint64(block.timestamp) + (parties.prepaid ? 0 : parties.termsSeconds);
        $.owed[parties.tenant] += total;
        emit InvoiceIssued(invoice, account, parties.tenant, from, to, total, it.dueAt);
        if (total == 0 || (parties.prepaid && $.balances[parties.tenant] >= total)) {
            $.balances[parties.tenant] -= total;
            $.balances[parties.provider] += total;
            _close($, invoice, it);
        }
    }

    /// @inheritdoc IBilling
    function deposit(address party, uint256 amount) external whenNotPaused {
        BillingStorage storage $ = _storage();
        if (amount == 0) revert BillingZeroAmount();
        $.balances[party] += amount;
        $.held += amount;
        emit Deposited(party, msg.sender, amount);
        $.token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IBilling
    function withdraw(address to, uint256 amount) external whenNotPaused {
        BillingStorage storage $ = _storage();
        if (amount == 0) revert BillingZeroAmount();
        uint256 balance = $.balances[msg.sender];
        if (amount > balance) revert BillingBalanceTooLow(msg.sender, balance, amount);
        if (balance - amount < $.owed[msg.sender]) revert BillingOwed(msg.sender, balance, $.owed[msg.sender]);
        $.balances[msg.sender] = balance - amount;
        $.held -= amount;
        emit Withdrawn(msg.sender, to, amount);
        $.token.safeTransfer(to, amount);
    }

    /// @inheritdoc IBilling
    function settle(uint256[] calldata invoices) external whenNotPaused {
        BillingStorage storage $ = _storage();
        address[] memory parties = new address[](PARTIES_MAX);
        int256[] memory net = new int256[](PARTIES_MAX);
        for (uint256 i = 0; i < invoices.length; ++i) {
            Invoice storage it = _open(invoices[i]);
            bool early = block.timestamp < it.dueAt;
            if (early && msg.sender != it.tenant) revert BillingNotDue(invoices[i], it.dueAt);
            // The sum of `net` stays zero: what one is debited the other is credited.
            int256 total = int256(it.total);
            net[_placeOf(parties, it.tenant)] -= total;
            net[_placeOf(parties, it.provider)] += total;
            _close($, invoices[i], it);
        }
        for (uint256 i = 0; i < PARTIES_MAX && parties[i] != address(0); ++i) {
            _move($, parties[i], net[i]);
        }
    }

    /// @inheritdoc IBilling
    function recordOffChain(uint256 invoice, bytes32 reference_) external {
        BillingStorage storage $ = _storage();
        Invoice storage it = _open(invoice);
        if (it.provider != msg.sender) revert BillingNotProvider(invoice, msg.sender);
        if (reference_ == 0) revert BillingZeroReference();
        it.status = InvoiceStatus.SettledOffChain;
        $.owed[it.tenant] -= it.total;
        emit InvoiceSettledOffChain(invoice, reference_);
    }

    /// @inheritdoc IBilling
    function contest(uint256 invoice, bytes32 evidence) external {
        BillingStorage storage $ = _storage();
        Invoice storage it = _open(invoice);
        if (it.tenant != msg.sender) revert BillingNotTenant(invoice, msg.sender);
        if (block.timestamp >= it.dueAt) revert BillingOverdue(invoice, it.dueAt);
        it.status = InvoiceStatus.Contested;
        // A ruling "upheld" is for the first party: the tenant.
        address[] memory parties = new address[](2);
        (parties[0], parties[1]) = (it.tenant, it.provider);
        uint256 dispute = $.disputes.open(keccak256(abi.encode("invoice", invoice)), evidence, parties);
        $.contested[dispute] = invoice;
        emit InvoiceContested(invoice, dispute, evidence);
    }

    /// @notice Disputes: the ruling. UPHELD voids the invoice and gives its batches and adjustments back to be invoiced
    /// anew; any other outcome lets it stand, due at once.
    function onRuling(uint256 dispute, uint8 outcome, bytes32 reason) external {
        BillingStorage storage $ = _storage();
        if (msg.sender != address($.disputes)) revert BillingNotDisputes(msg.sender);
        uint256 invoice = $.contested[dispute];
        if (invoice == 0) revert BillingUnknownDispute(dispute);
        Invoice storage it = $.invoices[invoice];
        if (it.status != InvoiceStatus.Contested) revert BillingWrongStatus(invoice, it.status);
        if (outcome != uint8(IDisputes.Outcome.UPHELD)) {
            it.status = InvoiceStatus.Open;
            it.dueAt = uint64(block.timestamp);
            emit InvoiceUpheld(invoice, it.dueAt);
            return;
        }
        it.status = InvoiceStatus.Void;
        $.owed[it.tenant] -= it.total;
        $.pending[it.account] += it.adjusted;
        for (uint256 i = 0; i < it.batches.length; ++i) {
            delete $.invoicedIn[it.batches[i]];
        }
        emit InvoiceVoided(invoice, reason);
    }

    /// @inheritdoc IBilling
    function invoiceOf(uint256 invoice) external view returns (Invoice memory) {
        return _storage().invoices[invoice];
    }

    /// @inheritdoc IBilling
    function invoicedIn(uint256 batch) external view returns (uint256) {
        return _storage().invoicedIn[batch];
    }

    /// @inheritdoc IBilling
    function pendingOf(uint256 account) external view returns (int256) {
        return _storage().pending[account];
    }

    /// @inheritdoc IBilling
    function balanceOf(address party) external view returns (uint256) {
        return _storage().balances[party];
    }

    /// @inheritdoc IBilling
    function owedBy(address party) external view returns (uint256) {
        return _storage().owed[party];
    }

    /// @inheritdoc IBilling
    function held() external view returns (uint256) {
        return _storage().held;
    }

    function _draw(BillingStorage storage $, uint256 invoice, uint256[] calldata batches, Tax[] calldata taxes)
        private
        returns (uint256)
    {
        Invoice storage it = $.invoices[invoice];
        uint256 net = _drawAdjustments($, invoice, it, _drawUsage($, invoice, it, batches));
        return net + _drawTaxes(invoice, net, taxes);
    }

    function _drawUsage(BillingStorage storage $, uint256 invoice, Invoice storage it, uint256[] calldata batches)
        private
        returns (uint256 usage)
    {
        for (uint256 i = 0; i < batches.length; ++i) {
            uint256 batch = batches[i];
            IMetering.Batch memory counted = $.metering.batchOf(batch);
            if (counted.status != IMetering.BatchStatus.Confirmed) revert BillingBatchNotConfirmed(batch);
            if (counted.account != it.account) revert BillingBatchOfOtherAccount(batch, it.account);
            if (counted.from < it.from || counted.to > it.to) revert BillingBatchOutsidePeriod(batch);
            if ($.invoicedIn[batch] != 0) revert BillingBatchInvoiced(batch, $.invoicedIn[batch]);
            $.invoicedIn[batch] = invoice;
            uint256 amount = $.metering.amountOf(batch);
            if (amount > uint256(AMOUNT_MAX)) revert BillingAmountOutOfRange(int256(amount >> 1));
            usage += amount;
            emit InvoiceLine(invoice, LineKind.Usage, bytes32(batch), int256(amount));
        }
    }

    function _drawAdjustments(BillingStorage storage $, uint256 invoice, Invoice storage it, uint256 usage)
        private
        returns (uint256)
    {
        int256 pending = $.pending[it.account];
        // Of a credit, no more than the usage: the rest waits for the next invoice.
        int256 drawn = pending < -int256(usage) ? -int256(usage) : pending;
        if (drawn != 0) {
            it.adjusted = drawn;
            $.pending[it.account] = pending - drawn;
            emit InvoiceLine(invoice, LineKind.Adjustment, 0, drawn);
        }
        return uint256(int256(usage) + drawn);
    }

    function _drawTaxes(uint256 invoice, uint256 net, Tax[] calldata taxes) private returns (uint256 sum) {
        for (uint256 i = 0; i < taxes.length; ++i) {
            if (taxes[i].ppm > MILLION) revert BillingTaxOutOfRange(taxes[i].kind, taxes[i].ppm);
            uint256 amount = Rounding.halfUp(net * taxes[i].ppm, MILLION);
            sum += amount;
            emit InvoiceLine(invoice, LineKind.Tax, taxes[i].kind, int256(amount));
        }
    }

    function _move(BillingStorage storage $, address party, int256 amount) private {
        if (amount < 0) {
            uint256 debit = uint256(-amount);
            if ($.balances[party] < debit) revert BillingBalanceTooLow(party, $.balances[party], debit);
            $.balances[party] -= debit;
        } else {
            $.balances[party] += uint256(amount);
        }
        emit NetMoved(party, amount);
    }

    function _close(BillingStorage storage $, uint256 invoice, Invoice storage it) private {
        it.status = InvoiceStatus.Settled;
        $.owed[it.tenant] -= it.total;
        emit InvoiceSettled(invoice, it.tenant, it.provider, it.total);
    }

    function _placeOf(address[] memory parties, address party) private pure returns (uint256 place) {
        for (; place < PARTIES_MAX; ++place) {
            if (parties[place] == party) return place;
            if (parties[place] == address(0)) {
                parties[place] = party;
                return place;
            }
        }
        revert BillingTooManyParties(PARTIES_MAX);
    }

    function _open(uint256 invoice) private view returns (Invoice storage it) {
        it = _storage().invoices[invoice];
        if (it.status != InvoiceStatus.Open) revert BillingWrongStatus(invoice, it.status);
    }

    function _storage() private pure returns (BillingStorage storage $) {
        assembly ("memory-safe") {
            $.slot := STORAGE
        }
    }
}
