// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.26;

/// @title Invoices and settlement
/// @notice Invoices gather confirmed usage batches, adjustments and taxes of a period; they are settled from deposits
/// in the settlement token, several at once and net, or are recorded as settled off chain. What is taken from one side
/// arrives at the other: the sum of all balances is at all times the sum of all deposits less all withdrawals, and is
/// held by this contract. Rounding: each usage batch and each tax line once, to the nearest unit, halves up; nothing
/// else is ever divided. Texts behind reasons and references stay off chain; erasing them leaves hashes.
interface IBilling {
    enum InvoiceStatus {
        None,
        Open,
        Settled,
        SettledOffChain,
        Contested,
        Void
    }

    enum LineKind {
        Usage,
        Adjustment,
        Tax
    }

    struct Tax {
        /// @notice Which tax, by hash of jurisdiction and kind.
        bytes32 kind;
        /// @notice Rate in millionths.
        uint32 ppm;
    }

    struct Invoice {
        uint256 account;
        address provider;
        InvoiceStatus status;
        /// @notice May be settled by anyone from then on. Seconds since the Unix epoch.
        uint64 dueAt;
        address tenant;
        /// @notice First second of the period.
        uint64 from;
        /// @notice First second after the period.
        uint64 to;
        /// @notice What the tenant owes, in units of the settlement token.
        uint256 total;
        /// @notice Adjustments drawn into it; negative for credits.
        int256 adjusted;
        uint256[] batches;
    }

    event AdjustmentMade(
        uint256 indexed account, address indexed by, int256 amount, int256 pending, bytes32 indexed reason
    );
    event InvoiceIssued(
        uint256 indexed invoice,
        uint256 indexed account,
        address indexed tenant,
        uint64 from,
        uint64 to,
        uint256 total,
        uint64 dueAt
    );
    event InvoiceLine(uint256 indexed invoice, LineKind kind, bytes32 ref, int256 amount);
    event InvoiceSettled(uint256 indexed invoice, address indexed tenant, address indexed provider, uint256 total);
    event InvoiceSettledOffChain(uint256 indexed invoice, bytes32 indexed reference_);
    event InvoiceContested(uint256 indexed invoice, uint256 indexed dispute, bytes32 evidence);
    event InvoiceVoided(uint256 indexed invoice, bytes32 reason);
    event InvoiceUpheld(uint256 indexed invoice, uint64 dueAt);
    event NetMoved(address indexed party, int256 amount);
    event Deposited(address indexed party, address indexed by, uint256 amount);
    event Withdrawn(address indexed party, address indexed to, uint256 amount);

    error BillingBadPeriod(uint64 from, uint64 to);
    error BillingUnknownAccount(uint256 account);
    error BillingNothingToInvoice(uint256 account);
    error BillingBatchNotConfirmed(uint256 batch);
    error BillingBatchOfOtherAccount(uint256 batch, uint256 account);
    error BillingBatchOutsidePeriod(uint256 batch);
    error BillingBatchInvoiced(uint256 batch, uint256 invoice);
    error BillingTaxOutOfRange(bytes32 kind, uint32 ppm);
    error BillingAmountOutOfRange(int256 amount);
    error BillingWrongStatus(uint256 invoice, InvoiceStatus status);
    error BillingNotDue(uint256 invoice, uint64 dueAt);
    error BillingOverdue(uint256 invoice, uint64 dueAt);
    error BillingTooManyParties(uint256 most);
    error BillingBalanceTooLow(address party, uint256 balance, uint256 needed);
    error BillingOwed(address party, uint256 balance, uint256 owed);
    error BillingNotProvider(uint256 invoice, address caller);
    error BillingNotTenant(uint256 invoice, address caller);
    error BillingZeroReference();
    error BillingZeroAmount();
    error BillingNotDisputes(address caller);
    error BillingUnknownDispute(uint256 dispute);

    /// @notice Book an amount for or (negative) against the provider, drawn into the account's next invoice. Restricted:
    /// auditors, and the contract of service levels for its penalties and rewards.
    function adjust(uint256 account, int256 amount, bytes32 reason) external;
    /// @notice Issue an invoice over confirmed batches within [from, to) and all pending adjustments. Credits beyond the
    /// usage stay pending: an invoice is never negative. A prepaid account's is settled at once when the deposit
    /// suffices. Restricted to settlers.
    function issue(uint256 account, uint64 from, uint64 to, uint256[] calldata batches, Tax[] calldata taxes)
        external
        returns (uint256 invoice);
    /// @notice Put tokens of the caller's to a party's balance.
    function deposit(address party, uint256 amount) external;
    /// @notice Take tokens out; what open invoices claim of the caller stays.
    function withdraw(address to, uint256 amount) external;
    /// @notice Settle invoices from the balances, net: each party's balance moves once, by what it gains less what it
    /// owes. All or nothing. Anyone may once they are due; before that each invoice's tenant.
    function settle(uint256[] calldata invoices) external;
    /// @notice Provider: the invoice was paid outside the chain. Only who loses by a lie may say it.
    function recordOffChain(uint256 invoice, bytes32 reference_) external;
    /// @notice Tenant: dispute an open invoice before it is due.
    function contest(uint256 invoice, bytes32 evidence) external;

    function invoiceOf(uint256 invoice) external view returns (Invoice memory);
    /// @notice The invoice that a batch is in; zero when none.
    function invoicedIn(uint256 batch) external view returns (uint256);
    /// @notice Adjustments not yet invoiced.
    function pendingOf(uint256 account) external view returns (int256);
    function balanceOf(address party) external view returns (uint256);
    /// @notice What open and contested invoices claim of the party.
    function owedBy(address party) external view returns (uint256);
    /// @notice Sum of all balances.
    function held() external view returns (uint256);
}
