"""What a block does to the state: transactions in, receipts and state changes out.

The port is `executor.py`; implementations must agree on every byte of BlockOutcome. Callers give a parent
StateView that does not change while a session lives, and treat a session as used up after `finish`.
"""
