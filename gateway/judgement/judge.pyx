"""The judge: what the engine will refuse, as far as the projection shows it without a rule of matching.

`Judge.judge` says why the engine would refuse a command if it came next, after the entries that the projection has applied:

    unknown market or account, frozen account, halted venue or market
    side, time in force; price, quantity, quote amount and value outside the limits of the market
    client id in use, as many open orders as there may be, a hold above what is available
    a cancel of what is not open

in the order of precedence of `engine/reference/checks.py`. What depends on who trades with whom it leaves UNDECIDED: what a
MARKET order costs, where that is not plain, whether a LIMIT_MAKER takes, and whether an order is filled as its cancel asks.
It answers with the engine's own reason, or not at all; `tests/gateway/judgement/test_judge.py` holds it to that.

`let_pass` asks more, for each command that is about to leave: will the engine execute it, whatever becomes of what the
account has on its way already? Then it needs no place in the account's budget of refusals. So the funds, client ids and
orders that others on their way may use up are counted (`gateway.view.accounts.OnTheWay`).

Cost: 0.2 µs an order, 0.35 µs if it has a client id.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp

from engine.order_types cimport *
from engine.records cimport *
from gateway.journal.pending cimport PendingCommand
from gateway.view.accounts cimport Account, Balance, OnTheWay, OpenCount, Order
from gateway.view.book_levels cimport BookLevels
from gateway.view.order_events cimport OrderEvents

from engine.records import MarketState

cdef extern from * nogil:
    """
    /* a × b for numbers from 0 to 2^62; anything above 2^62 - 1 is given as 2^62. */
    static inline int64_t jibek_bounded_product(int64_t a, int64_t b) {
        int64_t product;
        if (__builtin_mul_overflow(a, b, &product) || product > JIBEK_AMOUNT_MAX)
            return JIBEK_AMOUNT_MAX + 1;
        return product;
    }
    """
    int64_t bounded_product "jibek_bounded_product"(int64_t a, int64_t b)

cdef enum:
    CANNOT_SAY = -1

UNDECIDED = CANNOT_SAY


cdef class MarketRules:
    """What the judge needs to know of a market.

    Args:
        market: a `Market` of the listing.
    """

    def __init__(self, market):
        definition = market.definition
        self.number = market.number
        self.base_asset, self.quote_asset = definition.base_asset, definition.quote_asset
        self.lot_units, self.lot_value_units = definition.lot_units, market.lot_value_units
        self.price_min_ticks, self.price_max_ticks = definition.price_min_ticks, definition.price_max_ticks
        self.quantity_min_lots, self.quantity_max_lots = definition.quantity_min_lots, definition.quantity_max_lots
        self.notional_min, self.notional_max = definition.notional_min, definition.notional_max
        self.open_orders_max = definition.open_orders_max
        self.is_trading = market.state == MarketState.TRADING


cdef class Judge:
    """Judges by what the projection has applied; `markets` and the states are kept current by the projection.

    Args:
        events: the accounts and their orders.
        books: market number -> BookLevels.
    """

    def __init__(self, OrderEvents events not None, dict books not None):
        self._events = events
        self._books = books
        self.markets = {}
        self.is_venue_trading = True

    def judge(self, bytes command not None):
        """The number of the engine's reason to refuse a command, 0 if it executes it, UNDECIDED if that is not known here.

        Args:
            command: 128 bytes. The blob is not looked at: a command with one is not decided.
        """
        assert PyBytes_GET_SIZE(command) == sizeof(Command)
        return self._judge(<const Command *>PyBytes_AS_STRING(command), None)

    cpdef bint let_pass(self, PendingCommand pending) except -1:
        """Counts a command in that the engine will surely execute; False, and nothing is counted, for any other, and for all of an
        account that has spent its budget of refusals."""
        cdef OnTheWay way = (<Account>pending.account).on_the_way
        cdef const Command *command = <const Command *>PyBytes_AS_STRING(pending.command)
        if way.refusals_spent and way.refusals_spent >= way.refusals_largest:
            return False
        if not self._is_sure_of(self._judge(command, pending), command, pending):
            return False
        pending.count_in(True)
        return True

    def weigh(self, PendingCommand pending not None):
        """What `judge` says of a command, and whether the engine will surely execute it."""
        cdef const Command *command = <const Command *>PyBytes_AS_STRING(pending.command)
        cdef int verdict = self._judge(command, pending)
        return verdict, self._is_sure_of(verdict, command, pending)

    def flags_of(self, PendingCommand pending not None):
        """What an order may do (OrderFlag); 0 for a cancel."""
        cdef const Command *command = <const Command *>PyBytes_AS_STRING(pending.command)
        return _flags(command) if command.kind == COMMAND_KIND_ORDER_PLACE else 0

    def count_in(self, PendingCommand pending not None, *, bint is_sure):
        """Counts a command in that was weighed."""
        pending.count_in(is_sure)

    # -- what the engine will say

    cdef int _judge(self, const Command *command, PendingCommand pending) except -2:
        """The verdict. With a `pending`, notes in it what the command may change."""
        cdef Account account = None
        cdef object rules
        if pending is not None:
            pending.forget_weights()
            account = <Account>pending.account
        elif command.account:
            account = <Account>self._events.accounts.get(command.account)
        if self._events.is_entry_full or command.blob_length or command.blob_offset:
            return CANNOT_SAY
        if command.kind == COMMAND_KIND_ORDER_CANCEL or command.kind == COMMAND_KIND_ORDER_CANCEL_ALL:
            return self._judge_cancel(command, account, pending)
        if command.kind != COMMAND_KIND_ORDER_PLACE or not _is_plain(command):
            return CANNOT_SAY
        rules = self.markets.get(command.market)
        if rules is None:
            return REASON_UNKNOWN_MARKET
        if account is None:
            return REASON_UNKNOWN_ACCOUNT
        return self._judge_order(command, account, <MarketRules>rules, pending)

    cdef int _judge_order(
        self, const Command *command, Account account, MarketRules market, PendingCommand pending
    ) except -2:
        cdef int flags = _flags(command)
        if account.is_frozen:
            return REASON_ACCOUNT_FROZEN
        if not self.is_venue_trading:
            return REASON_VENUE_HALTED
        if not market.is_trading:
            return REASON_MARKET_HALTED
        if command.side != SIDE_BUY and command.side != SIDE_SELL:
            return REASON_INVALID_SIDE
        # A type that is not compiled in may be one that the engine knows; the dialect refuses those that no one does.
        if not 0 < command.order_type <= ORDER_TYPE_MAX:
            return CANNOT_SAY
        if flags == 0:
            return REASON_INVALID_TIME_IN_FORCE
        if command.self_trade_mode:
            return REASON_INVALID_SELF_TRADE_MODE
        if flags & ORDER_FLAG_HAS_TRIGGER:
            return CANNOT_SAY
        if flags & ORDER_FLAG_HAS_LIMIT:
            return self._judge_limit(command, account, market, flags, pending)
        return self._judge_no_limit(command, account, market, flags, pending)

    cdef int _judge_limit(
        self, const Command *command, Account account, MarketRules market, int flags, PendingCommand pending
    ) except -2:
        """An order that holds what it can need at its limit."""
        cdef bint is_buy = command.side == SIDE_BUY
        cdef int64_t value, hold
        cdef Balance balance
        cdef int reason
        if command.amount:
            return REASON_INVALID_QUOTE_AMOUNT
        if not market.price_min_ticks <= command.price_ticks <= market.price_max_ticks:
            return REASON_INVALID_PRICE
        if not market.quantity_min_lots <= command.quantity_lots <= market.quantity_max_lots:
            return REASON_INVALID_QUANTITY
        value = _value(market, command.price_ticks, command.quantity_lots)
        reason = _judge_value(market, value)
        if reason:
            return reason
        hold = value if is_buy else command.quantity_lots * market.lot_units
        balance = account.balance(market.quote_asset if is_buy else market.base_asset)
        reason = _judge_client_id(command, account, pending)
        if pending is not None:
            pending.balance, pending.hold = balance, hold
            pending.may_rest = (flags & ORDER_FLAG_MAY_REST) != 0 and (
                pending.client_key is None or not self._meets(command, market)
            )
        if reason:
            return reason
        if flags & ORDER_FLAG_MAY_REST and _open_in(account, market.number) >= market.open_orders_max:
            return REASON_TOO_MANY_OPEN_ORDERS
        if not flags & ORDER_FLAG_MAY_TAKE and self._meets(command, market):
            return CANNOT_SAY
        return 0 if hold <= balance.available else REASON_INSUFFICIENT_FUNDS

    cdef bint _meets(self, const Command *command, MarketRules market) except -1:
        """Whether an order with a limit meets one on the other side of the book."""
        cdef bint is_buy = command.side == SIDE_BUY
        cdef int64_t best = (<BookLevels>self._books[market.number]).best_ticks(SIDE_SELL if is_buy else SIDE_BUY)
        return best != 0 and (command.price_ticks >= best if is_buy else command.price_ticks <= best)

    cdef int _judge_no_limit(
        self, const Command *command, Account account, MarketRules market, int flags, PendingCommand pending
    ) except -2:
        """An order that pays from what is available. What it costs only the engine can say, unless nothing is available, or
        the amount to pay is named."""
        cdef bint is_buy = command.side == SIDE_BUY
        cdef Balance balance = account.balance(market.quote_asset if is_buy else market.base_asset)
        cdef int64_t best = 0
        cdef int reason = 0
        if command.price_ticks:
            return REASON_INVALID_PRICE
        if command.amount:
            if not flags & ORDER_FLAG_BY_QUOTE or command.amount < 0 or command.quantity_lots:
                return REASON_INVALID_QUOTE_AMOUNT
            reason = _judge_value(market, command.amount)
        else:
            if not market.quantity_min_lots <= command.quantity_lots <= market.quantity_max_lots:
                return REASON_INVALID_QUANTITY
            best = (<BookLevels>self._books[market.number]).best_ticks(SIDE_SELL if is_buy else SIDE_BUY)
            if best:
                reason = _judge_value(market, _value(market, best, command.quantity_lots))
        if reason:
            return reason
        reason = _judge_client_id(command, account, pending)
        if pending is not None:
            # A buy by amount pays that at most, a sell by quantity just that; what the others pay only the book says.
            pending.balance = balance
            pending.is_unbounded = is_buy != (command.amount != 0)
            if not pending.is_unbounded:
                pending.hold = command.amount if is_buy else command.quantity_lots * market.lot_units
        if reason:
            return reason
        if command.amount:
            return REASON_INSUFFICIENT_FUNDS if is_buy and command.amount > balance.available else CANNOT_SAY
        # In an empty book a buy costs nothing; a sell needs its whole quantity all the same.
        if balance.available == 0 and (best or not is_buy):
            return REASON_INSUFFICIENT_FUNDS
        return CANNOT_SAY

    cdef int _judge_cancel(self, const Command *command, Account account, PendingCommand pending) except -2:
        cdef bint is_all = command.kind == COMMAND_KIND_ORDER_CANCEL_ALL
        cdef bint is_named = not _is_zero(command.client_id)
        cdef object found
        cdef Order order
        if command.market not in self.markets and not (is_all and command.market == 0):
            return REASON_UNKNOWN_MARKET
        if account is None:
            return REASON_UNKNOWN_ACCOUNT
        if is_all:
            if pending is not None:
                pending.is_of_all = True
            if command.market:
                return 0 if _open_in(account, command.market) else REASON_NO_OPEN_ORDERS
            return 0 if account.open else REASON_NO_OPEN_ORDERS
        if command.order_id:
            found = account.open.get(command.order_id)
        else:
            found = account.open_by_client.get(_client_key(command)) if is_named else None
        if found is None:
            return REASON_UNKNOWN_ORDER
        order = <Order>found
        if order.market.number != command.market or (is_named and order.client_key != _client_key(command)):
            return REASON_UNKNOWN_ORDER
        if command.flags & COMMAND_FLAG_NAMELESS_ONLY and order.client_key is not None:
            return REASON_UNKNOWN_ORDER
        if command.flags & COMMAND_FLAG_UNFILLED_ONLY and order.cumulative_lots:
            return CANNOT_SAY
        if command.flags & COMMAND_FLAG_PARTLY_FILLED_ONLY and order.cumulative_lots == 0:
            return CANNOT_SAY
        if pending is not None:
            pending.cancelled = order
        return 0

    # -- whether anything on its way can change that

    cdef bint _is_sure_of(self, int verdict, const Command *command, PendingCommand pending) except -1:
        """Whether the engine surely executes a command of this verdict.

        The cancel of an order that is not known yet, but will rest once it comes, counts as sure, one for each order. If
        another account's order meets it first, it may be filled at once, and the cancel is refused.
        """
        cdef dict named = (<Account>pending.account).on_the_way.named
        cdef object found
        if verdict == 0:
            return self._is_sure(command, pending)
        if verdict != REASON_UNKNOWN_ORDER or command.order_id or command.flags or not named:
            return False
        found = named.get(_client_key(command))
        if found is None or not (<PendingCommand>found).will_rest or (<PendingCommand>found).cancels:
            return False
        pending.cancelled_too = <PendingCommand>found
        return True

    cdef bint _is_sure(self, const Command *command, PendingCommand pending) except -1:
        """Whether the engine executes a command, which it would now, whatever becomes of what is on its way."""
        cdef OnTheWay way = (<Account>pending.account).on_the_way
        cdef MarketRules market
        if command.kind == COMMAND_KIND_ORDER_CANCEL_ALL:
            return way.cancels == 0
        if command.kind == COMMAND_KIND_ORDER_CANCEL:
            return pending.cancelled.cancels == 0 and way.cancels_of_all == 0
        if pending.balance.unbounded or _flags(command) & ORDER_FLAG_ALL_OR_NONE:
            return False
        if pending.hold > pending.balance.available - pending.balance.sought:
            return False
        if pending.client_key is not None and way.named is not None and pending.client_key in way.named:
            return False
        if way.orders == 0 or not _flags(command) & ORDER_FLAG_MAY_REST:
            return True
        market = <MarketRules>self.markets[command.market]
        return _open_in(<Account>pending.account, market.number) + way.orders < market.open_orders_max


cdef bint _is_plain(const Command *command) noexcept:
    """Whether an order uses only the fields that orders have, and its client id, if any, has no zero byte inside."""
    cdef const char *end
    cdef Py_ssize_t length
    if (
        command.flags or command.asset or command.order_id or command.trigger_ticks or command.display_lots
        or command.expiry_us or command.group or command.state
    ):
        return False
    end = <const char *>memchr(command.client_id, 0, RECORD_CLIENT_ID_BYTES)
    if end == NULL:
        return True
    length = end - command.client_id
    return length == RECORD_CLIENT_ID_BYTES - 1 or memcmp(end, end + 1, RECORD_CLIENT_ID_BYTES - length - 1) == 0


cdef int _flags(const Command *command) noexcept:
    """What an order may do; no flag where there is no such type, or it has not that time in force."""
    if command.order_type > ORDER_TYPE_MAX or command.time_in_force > TIME_IN_FORCE_MAX:
        return 0
    return ORDER_FLAGS[command.order_type][command.time_in_force]


cdef int64_t _value(MarketRules market, int64_t price_ticks, int64_t lots) noexcept:
    """Price × quantity in smallest units of the quote asset; anything above 2^62 - 1 is given as 2^62."""
    return bounded_product(bounded_product(price_ticks, lots), market.lot_value_units)


cdef int _judge_value(MarketRules market, int64_t value) noexcept:
    if value < market.notional_min:
        return REASON_NOTIONAL_TOO_SMALL
    return 0 if value <= market.notional_max else REASON_NOTIONAL_TOO_LARGE


cdef int _judge_client_id(const Command *command, Account account, PendingCommand pending) except -2:
    cdef bytes key
    if command.client_id[0] == 0:
        return 0
    key = _client_key(command)
    if pending is not None:
        pending.client_key = key
    return REASON_DUPLICATE_CLIENT_ID if key in account.open_by_client else 0


cdef bytes _client_key(const Command *command):
    return PyBytes_FromStringAndSize(command.client_id, RECORD_CLIENT_ID_BYTES)


cdef bint _is_zero(const char *client_id) noexcept:
    return client_id[0] == 0 and memcmp(client_id, client_id + 1, RECORD_CLIENT_ID_BYTES - 1) == 0


cdef int64_t _open_in(Account account, int64_t market):
    """The open orders of an account in a market."""
    cdef object found = account.open_counts.get(market)
    return 0 if found is None else (<OpenCount>found).count
