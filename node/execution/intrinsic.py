"""May a transaction stand in a block, and what does it cost before its first instruction?

Shared by every executor and by the transaction pool, so that none can accept what another refuses. Pure:
looks at the transaction, the block's context and the sender's account only. Error texts start with the words
geth uses, because wallets and libraries match on them.
"""

from typing import Final

from node.execution.executor import BlockContext, Call, InvalidTransaction
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH
from node.primitives.ids import Address, hex_of
from node.primitives.state import EMPTY_ACCOUNT, Account
from node.primitives.transaction import AccessList, Transaction, TransactionType

TRANSACTION_GAS: Final = 21_000
CREATION_GAS: Final = 32_000
"""On top of TRANSACTION_GAS when there is no recipient (Homestead on, EIP-2)."""
ZERO_BYTE_GAS: Final = 4
BYTE_GAS_FRONTIER: Final = 68
BYTE_GAS_ISTANBUL: Final = 16
"""EIP-2028."""
ACCESS_LIST_ADDRESS_GAS: Final = 2_400
ACCESS_LIST_KEY_GAS: Final = 1_900
"""EIP-2930."""
INIT_CODE_WORD_GAS: Final = 2
INIT_CODE_BYTES_MAX: Final = 49_152
"""Shanghai on (EIP-3860)."""
NONCE_MAX: Final = (1 << 64) - 1
"""No transaction may carry it: the sender's nonce could not grow any more (EIP-2681)."""
_ALL_TYPES_SINCE: Final = Fork.LONDON
_EIP_2028_SINCE: Final = Fork.ISTANBUL


# --- why a transaction may not stand in a block


class TransactionTypeNotSupported(InvalidTransaction):
    """The fork in force does not know this type of transaction."""

    def __init__(self, kind: str, since: Fork) -> None:
        super().__init__(
            f"transaction type not supported: {kind} transactions come with {since.name.title()}"
        )


class WrongChainId(InvalidTransaction):
    """Signed for another network."""

    def __init__(self, chain_id: int | None, expected: int) -> None:
        super().__init__(f"invalid chain id for signer: have {chain_id} want {expected}")
        self.chain_id = chain_id
        self.expected = expected


class NonceTooLow(InvalidTransaction):
    """The sender has already sent a transaction with this nonce."""

    def __init__(self, sender: Address, nonce: int, expected: int) -> None:
        super().__init__(f"nonce too low: address {hex_of(sender)}, tx: {nonce} state: {expected}")
        self.nonce = nonce
        self.expected = expected


class NonceTooHigh(InvalidTransaction):
    """An earlier transaction of the sender is missing."""

    def __init__(self, sender: Address, nonce: int, expected: int) -> None:
        super().__init__(f"nonce too high: address {hex_of(sender)}, tx: {nonce} state: {expected}")
        self.nonce = nonce
        self.expected = expected


class NonceAtMaximum(InvalidTransaction):
    """After this nonce there is none left."""

    def __init__(self, sender: Address, nonce: int) -> None:
        super().__init__(f"nonce has max value: address {hex_of(sender)}, nonce: {nonce}")
        self.nonce = nonce


class SenderIsContract(InvalidTransaction):
    """Somebody found a key for a contract's address (EIP-3607)."""

    def __init__(self, sender: Address, code_hash: bytes) -> None:
        super().__init__(f"sender not an eoa: address {hex_of(sender)}, codehash: {hex_of(code_hash)}")


class FeeBelowBaseFee(InvalidTransaction):
    """The sender pays less for gas than the block burns."""

    def __init__(self, sender: Address, max_fee: int, base_fee: int) -> None:
        super().__init__(
            f"max fee per gas less than block base fee: address {hex_of(sender)}, "
            f"maxFeePerGas: {max_fee}, baseFee: {base_fee}"
        )
        self.max_fee = max_fee
        self.base_fee = base_fee


class PriorityFeeAboveMaxFee(InvalidTransaction):
    """The tip alone is more than the sender will pay in all."""

    def __init__(self, sender: Address, priority_fee: int, max_fee: int) -> None:
        super().__init__(
            f"max priority fee per gas higher than max fee per gas: address {hex_of(sender)}, "
            f"maxPriorityFeePerGas: {priority_fee}, maxFeePerGas: {max_fee}"
        )
        self.priority_fee = priority_fee
        self.max_fee = max_fee


class InsufficientFunds(InvalidTransaction):
    """The balance does not cover the most that the transaction can cost."""

    def __init__(self, sender: Address, balance: int, cost: int) -> None:
        super().__init__(
            f"insufficient funds for gas * price + value: address {hex_of(sender)} have {balance} want {cost}"
        )
        self.balance = balance
        self.cost = cost


class GasLimitReached(InvalidTransaction):
    """What is left of the block's gas does not hold the transaction."""

    def __init__(self, gas_limit: int, gas_left: int) -> None:
        super().__init__(f"gas limit reached: have {gas_left}, want {gas_limit}")
        self.gas_limit = gas_limit
        self.gas_left = gas_left


class IntrinsicGasTooLow(InvalidTransaction):
    """The gas limit does not pay for the transaction's own bytes."""

    def __init__(self, gas_limit: int, needed: int) -> None:
        super().__init__(f"intrinsic gas too low: have {gas_limit}, want {needed}")
        self.gas_limit = gas_limit
        self.needed = needed


class InitCodeTooLong(InvalidTransaction):
    """Init code above the limit (EIP-3860)."""

    def __init__(self, size: int) -> None:
        super().__init__(f"max initcode size exceeded: code size {size} limit {INIT_CODE_BYTES_MAX}")
        self.size = size


# --- the checks


def check_transaction(tx: Transaction, context: BlockContext, sender_account: Account | None) -> int:
    """Every rule but the room left in the block; the intrinsic gas when all hold, InvalidTransaction if not.

    `sender_account` is the account of `tx.sender` before the transaction. The order of the checks is geth's.
    """
    if tx.chain_id != context.chain_id or context.fork < _ALL_TYPES_SINCE:
        check_signer(tx, context)
    nonce, balance, code_hash = sender_account or EMPTY_ACCOUNT
    if tx.nonce != nonce or nonce == NONCE_MAX:
        raise _wrong_nonce(tx, nonce)
    if code_hash != EMPTY_HASH:
        raise SenderIsContract(tx.sender, code_hash)
    return _check_purse(tx, context, balance)


def check_call(call: Call, context: BlockContext, sender_account: Account | None) -> int:
    """All of a transaction's rules but nonce, signature and room in the block; the intrinsic gas."""
    return _check_purse(call, context, sender_account.balance if sender_account else 0)


def check_signer(tx: Transaction, context: BlockContext) -> None:
    """The fork knows the type, and the signature is for this chain."""
    fork = context.fork
    if tx.type is TransactionType.FEE_MARKET and fork < Fork.LONDON:
        raise TransactionTypeNotSupported("fee-market", Fork.LONDON)
    if tx.type is TransactionType.ACCESS_LIST and fork < Fork.BERLIN:
        raise TransactionTypeNotSupported("access-list", Fork.BERLIN)
    if tx.chain_id is None:
        return
    if tx.type is TransactionType.LEGACY and fork < Fork.SPURIOUS_DRAGON:
        raise TransactionTypeNotSupported("replay-protected", Fork.SPURIOUS_DRAGON)
    if tx.chain_id != context.chain_id:
        raise WrongChainId(tx.chain_id, context.chain_id)


def _wrong_nonce(tx: Transaction, expected: int) -> InvalidTransaction:
    if tx.nonce < expected:
        return NonceTooLow(tx.sender, tx.nonce, expected)
    if tx.nonce > expected:
        return NonceTooHigh(tx.sender, tx.nonce, expected)
    return NonceAtMaximum(tx.sender, tx.nonce)


def _check_purse(message: Transaction | Call, context: BlockContext, balance: int) -> int:
    """The fee fields make sense and cover the base fee (EIP-1559), the sender has what the message may cost,
    the gas limit pays for its bytes, and init code is within its limit (Shanghai on); the intrinsic gas."""
    max_fee, gas_limit, base_fee = message.max_fee_per_gas, message.gas_limit, context.base_fee_per_gas
    if base_fee is not None:
        if max_fee < message.max_priority_fee_per_gas:
            raise PriorityFeeAboveMaxFee(message.sender, message.max_priority_fee_per_gas, max_fee)
        if max_fee < base_fee:
            raise FeeBelowBaseFee(message.sender, max_fee, base_fee)
    cost = gas_limit * max_fee + message.value
    if balance < cost:
        raise InsufficientFunds(message.sender, balance, cost)
    to, data = message.to, message.data
    needed = message_gas(to, data, message.access_list, context.fork)
    if gas_limit < needed:
        raise IntrinsicGasTooLow(gas_limit, needed)
    if to is None and context.fork >= Fork.SHANGHAI and len(data) > INIT_CODE_BYTES_MAX:
        raise InitCodeTooLong(len(data))
    return needed


def check_gas_left(gas_limit: int, gas_left: int) -> None:
    """The block still has room."""
    if gas_limit > gas_left:
        raise GasLimitReached(gas_limit, gas_left)


# --- what it costs


def intrinsic_gas(tx: Transaction, fork: Fork) -> int:
    """Gas that a transaction uses before its first instruction."""
    return message_gas(tx.to, tx.data, tx.access_list, fork)


def message_gas(to: Address | None, data: bytes, access_list: AccessList, fork: Fork) -> int:
    """Intrinsic gas of a transaction or call with these fields."""
    gas = TRANSACTION_GAS
    if data:
        zeros = data.count(0)
        byte_gas = BYTE_GAS_ISTANBUL if fork >= _EIP_2028_SINCE else BYTE_GAS_FRONTIER
        gas += zeros * ZERO_BYTE_GAS + (len(data) - zeros) * byte_gas
    if to is None:
        if fork >= Fork.HOMESTEAD:
            gas += CREATION_GAS
        if fork >= Fork.SHANGHAI:
            gas += INIT_CODE_WORD_GAS * ((len(data) + 31) // 32)
    for _, keys in access_list:
        gas += ACCESS_LIST_ADDRESS_GAS + ACCESS_LIST_KEY_GAS * len(keys)
    return gas


def upfront_cost(tx: Transaction) -> int:
    """wei that the sender must own: all gas at the highest price it accepts, and the value."""
    return tx.gas_limit * tx.max_fee_per_gas + tx.value


def effective_gas_price(max_fee: int, priority_fee: int, base_fee: int | None) -> int:
    """wei per gas that the sender pays in a block with this base fee; None is a block before London."""
    return max_fee if base_fee is None else min(max_fee, base_fee + priority_fee)


def refund_cap(gas_used: int, fork: Fork) -> int:
    """The most gas that can be given back: half of what was used, a fifth from London on (EIP-3529)."""
    return gas_used // (5 if fork >= Fork.LONDON else 2)
