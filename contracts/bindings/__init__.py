"""Typed access to every contract of the suite, over web3: a generated module for each.

    from contracts.bindings.settlement_token import SettlementToken

    token = SettlementToken(web3, address)
    token.balance_of(holder)
    token.transfer(payee, 5).transact({"from": holder})
    token.events(receipt)           # [("Transfer", {"from": …, "to": …, "value": 5})]

A refusal is `contracts.binding.Refused` with the error's name and arguments.
"""
