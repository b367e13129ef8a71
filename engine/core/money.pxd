# cython: cdivision=True
# Divisors are never zero and dividends never negative, so C's division is exact here and needs no checks.
"""Money, in C: what orders hold, what a fill moves, and fees; the twin of `engine/reference/money.py`."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.book.memory cimport jibek_assert, jibek_likely, jibek_unlikely
from engine.core.accounts cimport known_holding, paying_holding
from engine.core.state cimport NO_RATE, AccountMarket, AccountRecord, Exchange, Holding, MarketRecord
from engine.records cimport AMOUNT_MAX, RECORD_PPM

cdef extern from * nogil:
    """
    typedef __int128 jibek_int128;

    /* a × b for numbers from 0 to 2^62; anything above 2^62 - 1 is given as 2^62. */
    static inline int64_t jibek_multiply(int64_t a, int64_t b) {
        int64_t product;
        if (__builtin_expect(__builtin_mul_overflow(a, b, &product) || product > JIBEK_AMOUNT_MAX, 0))
            return JIBEK_AMOUNT_MAX + 1;
        return product;
    }
    """
    ctypedef long long int128 "jibek_int128"
    int64_t jibek_multiply(int64_t a, int64_t b)


cdef inline int64_t value_of(const MarketRecord* market, int64_t price_ticks, int64_t lots) noexcept nogil:
    """Price × quantity in smallest units of the quote asset; anything above 2^62 - 1 is given as 2^62."""
    return jibek_multiply(jibek_multiply(price_ticks, lots), market.lot_value_units)


cdef inline int64_t hold_of(const MarketRecord* market, bint is_ask, int64_t price_ticks, int64_t lots) noexcept nogil:
    """What is held for `lots` of an order with a limit: quote units for a buy, base units for a sell."""
    return lots * market.definition.lot_units if is_ask else value_of(market, price_ticks, lots)


cdef inline void hold_funds(Holding* holding, int64_t amount) noexcept nogil:
    """Sets aside what an order can need."""
    holding.available -= amount
    holding.held += amount
    jibek_assert(holding.available >= 0)


cdef inline bint release_funds(
    MarketRecord* market, AccountRecord* account, AccountMarket* account_market, bint is_ask, int64_t amount
) noexcept nogil:
    """Makes available what an order of that side held; False where memory is out."""
    cdef Holding* holding = paying_holding(market, account, account_market, is_ask)
    if jibek_unlikely(holding == NULL):
        return False
    holding.held -= amount
    holding.available += amount
    jibek_assert(holding.held >= 0)
    return True


cdef inline int64_t fee_of(int64_t received, uint32_t fee_ppm, uint32_t* credit) noexcept nogil:
    """The fee of one fill, (received × rate − credit) / 1,000,000 rounded up; leaves the credit after it."""
    cdef int64_t fee, due
    cdef int128 large
    if jibek_likely(received < <int64_t>1 << 46):
        # Rates are below 2^17, so the product stays below 2^63, and a 64-bit division is many times faster.
        due = received * fee_ppm - credit[0]
        fee = (due + (RECORD_PPM - 1)) // RECORD_PPM
        credit[0] = <uint32_t>(fee * RECORD_PPM - due)
    else:
        large = <int128>received * fee_ppm - credit[0]
        fee = <int64_t>((large + (RECORD_PPM - 1)) // RECORD_PPM)
        credit[0] = <uint32_t>(<int128>fee * RECORD_PPM - large)
    jibek_assert(0 <= fee and fee <= received and credit[0] < RECORD_PPM)
    return fee


cdef inline uint32_t fee_rate_ppm(
    const MarketRecord* market, const AccountMarket* account_market, bint is_maker
) noexcept nogil:
    """An order's rate: the account's own or the market's."""
    cdef uint32_t account_ppm = account_market.maker_fee_ppm if is_maker else account_market.taker_fee_ppm
    cdef uint32_t market_ppm = market.definition.maker_fee_ppm if is_maker else market.definition.taker_fee_ppm
    return market_ppm if account_ppm == NO_RATE else account_ppm


cdef inline bint settle_side(
    Exchange* exchange,
    MarketRecord* market,
    AccountMarket* account_market,
    bint is_ask,
    int64_t base,
    int64_t value,
    int64_t released,
    int64_t fee,
) noexcept nogil:
    """Moves one side's money for one fill; False where memory is out."""
    cdef AccountRecord* account = &exchange.accounts[account_market.account]
    cdef int64_t paid = base if is_ask else value
    cdef int64_t received = value if is_ask else base
    cdef Holding* holding = paying_holding(market, account, account_market, is_ask)
    if jibek_unlikely(holding == NULL):
        return False
    holding.held -= released
    holding.available += released - paid
    jibek_assert(holding.held >= 0 and holding.available >= 0)
    # What a side receives is what the other side pays with. Asked for now, because making it moves the others.
    holding = paying_holding(market, account, account_market, not is_ask)
    if jibek_unlikely(holding == NULL):
        return False
    holding.available += received - fee
    if jibek_likely(fee):
        if is_ask:
            holding = known_holding(&exchange.accounts[0], &market.house_quote, market.definition.quote_asset)
        else:
            holding = known_holding(&exchange.accounts[0], &market.house_base, market.definition.base_asset)
        if jibek_unlikely(holding == NULL):
            return False
        holding.available += fee
    return True
