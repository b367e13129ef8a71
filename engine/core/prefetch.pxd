"""Asking for the memory of the commands to come, so that it is in the processor's cache when they are executed.

Commands are looked at in short blocks, each a step further than the one behind it, so what one step needs has come when the
next one looks at it. The blocks are short, because what is asked for too early is out of the cache again. A guess that turns
out wrong does no harm, and order id 0, account 0 and handle 0 lead to something like any other.
"""

from libc.stdint cimport int64_t, uint32_t

from engine.book.handle_table cimport table_guess, table_prefetch
from engine.book.ladder cimport ladder_first, ladder_key, side_is_ask
from engine.book.memory cimport jibek_prefetch
from engine.book.order_ids cimport ids_guess
from engine.book.prefetch cimport (
    prefetch_leaf_slot,
    prefetch_level,
    prefetch_neighbours,
    prefetch_node,
    prefetch_slot,
)
from engine.core.accounts cimport account_market_hash, find_market, listed_orders
from engine.core.client_ids cimport client_id_hash, client_id_read, client_id_mix
from engine.core.state cimport BLOCK_COMMANDS, CLIENT_HASHES, AccountMarket, Exchange, MarketRecord
from engine.records cimport Command

cdef enum:
    # With no more markets than this, their records are in the processor's cache anyway.
    MARKETS_IN_CACHE = 16


cdef inline uint32_t known_account(const Exchange* exchange, uint32_t account) noexcept nogil:
    """The number of an account; 0, the house, if there is none of that number. Without a branch."""
    return account if account < exchange.account_count else 0


cdef inline uint32_t guess_account_market(const Exchange* exchange, uint32_t account, uint32_t market) noexcept nogil:
    """The handle that an account most likely has in a market, without looking there."""
    if exchange.market_count > MARKETS_IN_CACHE:
        return table_guess(&exchange.account_market_handles, account_market_hash(account, market))
    return exchange.accounts[known_account(exchange, account)].recent


cdef inline void prefetch_places(
    Exchange* exchange, const Command* commands, uint32_t index, uint32_t count
) noexcept nogil:
    """Where orders, accounts and client ids are found; hashes the client ids."""
    cdef uint32_t end = index + BLOCK_COMMANDS if index + BLOCK_COMMANDS < count else count
    cdef uint32_t hash, line
    cdef MarketRecord* market
    while index < end:
        prefetch_slot(&exchange.ids, commands[index].order_id)
        jibek_prefetch(&exchange.accounts[known_account(exchange, commands[index].account)])
        # A command without a client id has a hash like the others: asking whether it has one costs more.
        hash = client_id_hash(
            client_id_read(commands[index].client_id), exchange.client_id_seed, commands[index].account
        )
        exchange.client_hashes[index % CLIENT_HASHES] = hash
        table_prefetch(&exchange.client_ids, client_id_mix(hash))
        if exchange.market_count > MARKETS_IN_CACHE:
            table_prefetch(
                &exchange.account_market_handles, account_market_hash(commands[index].account, commands[index].market)
            )
            market = find_market(exchange, commands[index].market)
            if market != NULL:
                for line in range(0, sizeof(MarketRecord), 64):
                    jibek_prefetch(<char*>market + line)
        index += 1


cdef inline void prefetch_records(
    Exchange* exchange, const Command* commands, uint32_t index, uint32_t count
) noexcept nogil:
    """The orders that are named, the accounts' balances and their records in the market."""
    cdef uint32_t end = index + BLOCK_COMMANDS if index + BLOCK_COMMANDS < count else count
    cdef uint32_t handle
    cdef MarketRecord* market
    while index < end:
        prefetch_node(&exchange.ids, &exchange.arena, commands[index].order_id)
        handle = ids_guess(&exchange.ids, commands[index].order_id)
        jibek_prefetch(&exchange.infos[handle])
        # They are not read, but the order that gets this handle next will write them.
        jibek_prefetch(&exchange.times[handle])
        jibek_prefetch(
            &exchange.account_markets[guess_account_market(exchange, commands[index].account, commands[index].market)]
        )
        if exchange.market_count > MARKETS_IN_CACHE:
            market = find_market(exchange, commands[index].market)
            if market != NULL:
                prefetch_leaf_slot(
                    &market.ladder, ladder_key(side_is_ask(commands[index].side), commands[index].price_ticks)
                )
        index += 1


cdef inline void prefetch_makers(Exchange* exchange, MarketRecord* market) noexcept nogil:
    """The accounts of the orders that are first in line, and the orders behind those."""
    cdef uint32_t handle
    cdef const AccountMarket* account_market
    for is_ask in range(2):
        handle = ladder_first(&market.ladder, is_ask)
        account_market = &exchange.account_markets[exchange.infos[handle].account_market if handle else 0]
        jibek_prefetch(account_market)
        jibek_prefetch(&exchange.accounts[account_market.account])
        handle = exchange.arena.nodes[handle].next
        jibek_prefetch(&exchange.arena.nodes[handle])
        jibek_prefetch(&exchange.infos[handle])


cdef inline void prefetch_others(
    Exchange* exchange, const Command* commands, uint32_t index, uint32_t count
) noexcept nogil:
    """The neighbours of the orders that are named, their levels, and the orders that would trade."""
    cdef uint32_t end = index + BLOCK_COMMANDS if index + BLOCK_COMMANDS < count else count
    cdef MarketRecord* market = find_market(exchange, commands[index].market) if index < count else NULL
    cdef AccountMarket* account_market
    if exchange.arena.live == 0 or market == NULL:
        return
    if exchange.market_count <= MARKETS_IN_CACHE:
        prefetch_makers(exchange, market)
    while index < end:
        prefetch_neighbours(&exchange.ids, &exchange.arena, commands[index].order_id)
        table_prefetch(
            &exchange.client_ids,
            client_id_mix(exchange.infos[ids_guess(&exchange.ids, commands[index].order_id)].client_hash),
        )
        account_market = &exchange.account_markets[
            guess_account_market(exchange, commands[index].account, commands[index].market)
        ]
        jibek_prefetch(&listed_orders(account_market)[account_market.listed_count])
        if exchange.market_count > MARKETS_IN_CACHE:
            market = find_market(exchange, commands[index].market)
            if market != NULL:
                prefetch_level(
                    &market.ladder, ladder_key(side_is_ask(commands[index].side), commands[index].price_ticks)
                )
        index += 1


cdef inline void prefetch_commands(
    Exchange* exchange, const Command* commands, uint32_t index, uint32_t count
) noexcept nogil:
    """Asks for the memory that the three blocks of commands from `index` on will touch."""
    if index == 0:
        prefetch_places(exchange, commands, 0, count)
        prefetch_places(exchange, commands, BLOCK_COMMANDS, count)
        prefetch_records(exchange, commands, 0, count)
    prefetch_places(exchange, commands, index + 2 * BLOCK_COMMANDS, count)
    prefetch_records(exchange, commands, index + BLOCK_COMMANDS, count)
    prefetch_others(exchange, commands, index, count)
