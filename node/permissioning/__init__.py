"""Who may connect, and who may transact: decisions that say which rule made them, and at which block.

Two questions with different owners. Which *transactions* may stand in a block is a rule of the chain
(`accounts`): it is asked of a contract at the parent's state, so that every node gives the same answer.
Which *nodes* may connect is each node's own decision (`nodes`), taken from a file and from a contract.
Whoever calls owes: the view of the very block that is named, and nothing else that differs between nodes.
"""
