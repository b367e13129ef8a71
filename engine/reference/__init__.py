"""The reference engine: the exchange state machine in plain Python. It is the specification of the compiled core.

Everything that the venue decides is decided here: which orders are accepted, what they hold, who trades with whom at
what price, what it costs. `Core.execute` takes one journal entry and returns one event entry; the events are a pure
function of the journal (promise P2), and `engine/core` gives the same bytes and the same state hash. The two packages are
twins: `engine/core/x` does what `reference/x` says, under the same names, and changes in the same commit.

    state            what an exchange is: accounts, balances, markets, orders, agenda
    events           the event entry in hand
    accounts         who has what: accounts and their open orders
    money            holds, fees, the two sides of a fill
    checks           why an order is refused, in order of precedence
    matching         the one walk through the makers, and what a fill does
    orders           the phases of an order: read, check, hold, work, then rest or close; cancels
    agenda           work that goes on until the entry is full, and then in the next one
    administration   assets, markets, fees, states, accounts, keys, deposits and withdrawals
    report           queries, dump, load, hash, and the check of every invariant
    core             `Core`: one entry after the other

There is no clock, no I/O, no randomness and no float in this package.
"""

from engine.reference.core import Core

__all__ = ["Core"]
