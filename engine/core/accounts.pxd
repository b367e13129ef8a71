"""Who has what, in C: accounts, their balances and their open orders; the twin of `engine/reference/accounts.py`."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset

from engine.book.compaction cimport Compaction, compaction_begin, compaction_end, compaction_move
from engine.book.handle_table cimport (
    TableSearch,
    table_insert,
    table_next,
    table_remove,
    table_renumber,
    table_reserve,
    table_search,
    table_shrink,
)
from engine.book.ladder cimport Node, arena_is_sparse
from engine.book.memory cimport Room, jibek_assert, jibek_likely, jibek_unlikely, room_free, room_grow, room_grow_lean
from engine.book.order_ids cimport ids_get, ids_reserve, ids_shrink
from engine.core.client_ids cimport (
    ClientIdWords,
    client_id_is_none,
    client_id_read,
    client_id_mix,
    client_ids_differ,
)
from engine.core.state cimport (
    HOLDINGS_FEW,
    NO_RATE,
    OPEN_ORDERS_FEW,
    OPEN_ORDERS_MANY,
    RECORDS_MIN,
    SHORT_LIST_MAX,
    AccountMarket,
    AccountRecord,
    Exchange,
    Holding,
    MarketRecord,
    OpenOrder,
    OrderInfo,
    OrderTimes,
)

cdef enum:
    # An account's balances are searched by halving until this few are left.
    SEARCH_WALK_MAX = 8
    # So many ids later an order is old. Lists know the lower 32 bits of the ids of what they have listed.
    OLD_ORDER_IDS = 1 << 30


# -- accounts and markets by number


cdef inline AccountRecord* find_client(Exchange* exchange, uint32_t number) noexcept nogil:
    """A client's account; NULL if none has that number. The house is no client."""
    return &exchange.accounts[number] if 0 < number < exchange.account_count else NULL


cdef inline MarketRecord* find_market(Exchange* exchange, uint32_t number) noexcept nogil:
    """A market; NULL if none has that number."""
    return exchange.markets[number - 1] if 0 < number <= exchange.market_count else NULL


cdef inline bint add_account_record(Exchange* exchange) noexcept nogil:
    """One more account, with nothing; False where memory is out."""
    cdef uint64_t used = exchange.account_count * sizeof(AccountRecord)
    if used + sizeof(AccountRecord) > exchange.account_room.size:
        if not room_grow(&exchange.account_room, used, 2 * used if used else RECORDS_MIN * sizeof(AccountRecord)):
            return False
        exchange.accounts = <AccountRecord*>exchange.account_room.memory
    memset(&exchange.accounts[exchange.account_count], 0, sizeof(AccountRecord))
    exchange.account_count += 1
    return True


# -- balances, found where they were last


cdef inline Holding* holdings_of(AccountRecord* account) noexcept nogil:
    """The account's balances, by asset."""
    return &account.holdings.few[0] if account.holding_count <= HOLDINGS_FEW else account.holdings.many


cdef inline Holding* find_holding(AccountRecord* account, uint32_t asset) noexcept nogil:
    """What the account has of an asset, made where it is missing, which moves the others; NULL where memory is out."""
    cdef Holding* holdings = holdings_of(account)
    cdef uint16_t count = account.holding_count
    cdef uint16_t step = count
    cdef uint16_t index = 0
    # A binary search while many are left, then a linear one.
    while step > SEARCH_WALK_MAX:
        if holdings[index + step // 2 - 1].asset < asset:
            index += step // 2
        step -= step // 2
    while step and holdings[index].asset < asset:
        index += 1
        step -= 1
    if index < count and holdings[index].asset == asset:
        return &holdings[index]
    # From few on there is room for the next power of two.
    if count >= HOLDINGS_FEW and count & (count - 1) == 0:
        holdings = <Holding*>realloc(NULL if count == HOLDINGS_FEW else holdings, 2 * count * sizeof(Holding))
        if holdings == NULL:
            return NULL
        if count == HOLDINGS_FEW:
            memcpy(holdings, &account.holdings.few[0], count * sizeof(Holding))
        account.holdings.many = holdings
    memmove(&holdings[index + 1], &holdings[index], (count - index) * sizeof(Holding))
    memset(&holdings[index], 0, sizeof(Holding))
    holdings[index].asset = asset
    account.holding_count += 1
    return &holdings[index]


cdef inline Holding* known_holding(AccountRecord* account, uint16_t* place, uint32_t asset) noexcept nogil:
    """What the account has of an asset, which is most likely still at its place; the place is remembered."""
    cdef Holding* holding = &holdings_of(account)[place[0]]
    if jibek_likely(place[0] < account.holding_count and holding.asset == asset):
        return holding
    holding = find_holding(account, asset)
    if holding != NULL:
        place[0] = <uint16_t>(holding - holdings_of(account))
    return holding


cdef inline Holding* paying_holding(
    MarketRecord* market, AccountRecord* account, AccountMarket* account_market, bint is_ask
) noexcept nogil:
    """What the account has of the asset that an order of that side pays with; NULL where memory is out."""
    if is_ask:
        return known_holding(account, &account_market.base, market.definition.base_asset)
    return known_holding(account, &account_market.quote, market.definition.quote_asset)


# -- an account in a market


cdef inline uint64_t account_market_hash(uint32_t account, uint32_t market) noexcept nogil:
    return (<uint64_t>account << 16 ^ market) * <uint64_t>0x9E3779B97F4A7C15


cdef inline uint64_t account_market_hash_of(const void* account_markets, uint32_t handle) noexcept nogil:
    cdef const AccountMarket* account_market = &(<const AccountMarket*>account_markets)[handle]
    return account_market_hash(account_market.account, account_market.market)


cdef inline AccountMarket* look_up_account_market(Exchange* exchange, uint32_t account, uint32_t market) noexcept nogil:
    """The record of an account in a market, by its hash; NULL if it was never there."""
    cdef uint64_t hash = account_market_hash(account, market)
    cdef TableSearch search = table_search(&exchange.account_market_handles, hash)
    cdef uint32_t handle = table_next(&exchange.account_market_handles, hash, &search)
    cdef AccountMarket* account_market
    while handle:
        account_market = &exchange.account_markets[handle]
        if account_market.account == account and account_market.market == market:
            exchange.accounts[account].recent = handle
            exchange.accounts[account].recent_market = market
            return account_market
        handle = table_next(&exchange.account_market_handles, hash, &search)
    return NULL


cdef inline AccountMarket* add_account_market(Exchange* exchange, uint32_t account, uint32_t market) noexcept nogil:
    """A record for an account that is new in a market; NULL where memory is out. May move the others."""
    cdef uint32_t handle = exchange.account_market_count
    cdef uint64_t used = handle * sizeof(AccountMarket)
    cdef AccountMarket* account_market
    cdef const AccountMarket* general
    if used + sizeof(AccountMarket) > exchange.account_market_room.size:
        if not room_grow(&exchange.account_market_room, used, 2 * used):
            return NULL
        exchange.account_markets = <AccountMarket*>exchange.account_market_room.memory
    if not table_reserve(&exchange.account_market_handles, account_market_hash_of, exchange.account_markets):
        return NULL
    account_market = &exchange.account_markets[handle]
    memset(account_market, 0, sizeof(AccountMarket))
    account_market.account = account
    account_market.market = market
    account_market.capacity = OPEN_ORDERS_FEW
    account_market.maker_fee_ppm = NO_RATE
    account_market.taker_fee_ppm = NO_RATE
    if exchange.accounts[account].has_account_fees:
        general = look_up_account_market(exchange, account, 0)
        account_market.maker_fee_ppm = general.maker_fee_ppm
        account_market.taker_fee_ppm = general.taker_fee_ppm
    account_market.next = exchange.accounts[account].markets
    exchange.accounts[account].markets = handle
    exchange.accounts[account].recent = handle
    exchange.accounts[account].recent_market = market
    exchange.account_market_count += 1
    table_insert(&exchange.account_market_handles, account_market_hash(account, market), handle)
    return account_market


cdef inline AccountMarket* find_account_market(Exchange* exchange, uint32_t account, uint32_t market) noexcept nogil:
    """The record of an account in a market; NULL if it was never there."""
    if jibek_likely(exchange.accounts[account].recent_market == market):
        return &exchange.account_markets[exchange.accounts[account].recent]
    return look_up_account_market(exchange, account, market)


cdef inline uint32_t next_market_of(
    const Exchange* exchange, uint32_t account, uint32_t market
) noexcept nogil:
    """The handle of the lowest market with open orders of an account, or (not 0) of that market; 0 if it has none."""
    cdef uint32_t handle = exchange.accounts[account].markets
    cdef uint32_t found = 0
    cdef const AccountMarket* account_market
    while handle:
        account_market = &exchange.account_markets[handle]
        if account_market.open_count and (market == 0 or account_market.market == market):
            if found == 0 or account_market.market < exchange.account_markets[found].market:
                found = handle
        handle = account_market.next
    return found


# -- the account's list of open orders in a market


cdef inline OpenOrder* listed_orders(AccountMarket* account_market) noexcept nogil:
    """The list of the account's open orders in the market."""
    return &account_market.orders.few[0] if account_market.capacity <= OPEN_ORDERS_FEW else account_market.orders.many


cdef inline bint may_be_open(const Exchange* exchange, const OpenOrder* order) noexcept nogil:
    """Whether an order that was listed is still open, but for one in four billion that has its node and the end of its id."""
    cdef bint has_node = order.handle < exchange.arena.used
    cdef const Node* node = &exchange.arena.nodes[order.handle if has_node else 0]
    return has_node & (node.remaining_lots != 0) & (<uint32_t>node.order_id == order.id_low)


cdef inline bint is_open(
    Exchange* exchange, const AccountMarket* account_market, const OpenOrder* order
) noexcept nogil:
    """Whether an order that was listed is still open: its node may have gone to another order, of any account."""
    return (
        exchange.arena.live != 0
        and may_be_open(exchange, order)
        and &exchange.account_markets[exchange.infos[order.handle].account_market] == account_market
    )


cdef inline void forget_listed(AccountMarket* account_market, uint32_t handle, uint64_t order_id) noexcept nogil:
    """Takes an order that ends out of its account's list. Cost: a look at the orders before it."""
    cdef OpenOrder* orders = listed_orders(account_market)
    cdef uint32_t place = 0
    while orders[place].handle != handle or orders[place].id_low != <uint32_t>order_id:
        place += 1
        jibek_assert(place < account_market.listed_count)
    # No order has this handle, so the list drops it when it is tidied.
    orders[place].handle = 0


cdef inline void drop_ended(const Exchange* exchange, AccountMarket* account_market) noexcept nogil:
    """Takes the orders that have gone out of an account's list. Cost: a look at each order in the list."""
    cdef OpenOrder* orders = listed_orders(account_market)
    cdef uint32_t kept = 0
    cdef uint32_t index
    # Which of them have gone cannot be guessed, so each is moved, and counts or does not.
    for index in range(account_market.listed_count):
        orders[kept] = orders[index]
        kept += may_be_open(exchange, &orders[index])
    account_market.listed_count = kept
    jibek_assert(account_market.listed_count >= account_market.open_count)


cdef inline void drop_all_ended(Exchange* exchange) noexcept nogil:
    """Takes the orders that have gone out of the lists of all accounts."""
    cdef uint32_t index
    for index in range(1, exchange.account_market_count):
        drop_ended(exchange, &exchange.account_markets[index])


cdef inline bint resize_list(AccountMarket* account_market, uint32_t capacity) noexcept nogil:
    """Gives an account's list room for so many orders outside its record; False where memory is out."""
    cdef bint is_many = account_market.capacity > OPEN_ORDERS_FEW
    cdef OpenOrder* elsewhere = account_market.orders.many if is_many else NULL
    cdef OpenOrder* orders = <OpenOrder*>realloc(elsewhere, capacity * sizeof(OpenOrder))
    if orders == NULL:
        return False
    if not is_many:
        memcpy(orders, &account_market.orders.few[0], OPEN_ORDERS_FEW * sizeof(OpenOrder))
    account_market.orders.many = orders
    account_market.capacity = capacity
    return True


cdef inline bint tidy_list(const Exchange* exchange, AccountMarket* account_market) noexcept nogil:
    """Makes room in a full list: doubles it where many of its orders are open, else drops the others; False: no memory."""
    cdef uint32_t capacity = account_market.capacity
    if capacity <= OPEN_ORDERS_FEW:
        if account_market.open_count == OPEN_ORDERS_FEW:
            return resize_list(account_market, OPEN_ORDERS_MANY)
    # A short list has room for three times as many, so that it is tidied seldom.
    elif account_market.open_count > capacity // (4 if capacity < SHORT_LIST_MAX else 2):
        return resize_list(account_market, 2 * capacity)
    drop_ended(exchange, account_market)
    if account_market.open_count < capacity // 16:
        return resize_list(account_market, capacity // 2)
    return True


cdef inline uint64_t mixed_hash_of(const void* infos, uint32_t handle) noexcept nogil:
    return client_id_mix((<const OrderInfo*>infos)[handle].client_hash)


cdef inline bint list_with_account(
    Exchange* exchange, AccountMarket* account_market, uint32_t handle, uint64_t order_id
) noexcept nogil:
    """Puts an order at the end of its account's list, which is in the order of ids; False where memory is out."""
    cdef OpenOrder* listed
    if jibek_unlikely(account_market.listed_count == account_market.capacity) and not tidy_list(exchange, account_market):
        return False
    listed = &listed_orders(account_market)[account_market.listed_count]
    listed.handle = handle
    listed.id_low = <uint32_t>order_id
    account_market.listed_count += 1
    account_market.open_count += 1
    jibek_assert(account_market.open_count <= account_market.listed_count)
    jibek_assert(account_market.listed_count <= account_market.capacity)
    return True


cdef inline bint list_order(
    Exchange* exchange, AccountMarket* account_market, uint32_t handle, uint64_t order_id
) noexcept nogil:
    """Puts an order that rests, with its OrderInfo, into the indexes of its account; False where memory is out."""
    cdef uint32_t hash = exchange.infos[handle].client_hash
    if hash:
        table_insert(&exchange.client_ids, client_id_mix(hash), handle)
    return list_with_account(exchange, account_market, handle, order_id)


cdef inline void unlist_order(Exchange* exchange, AccountMarket* account_market, uint32_t handle) noexcept nogil:
    """Takes an order out of the indexes of its account; its list drops it when it is tidied."""
    cdef uint32_t hash = exchange.infos[handle].client_hash
    cdef uint64_t order_id = exchange.arena.nodes[handle].order_id
    jibek_assert(account_market.open_count > 0)
    account_market.open_count -= 1
    if account_market.open_count == 0:
        account_market.listed_count = 0
    elif jibek_unlikely(exchange.last_order_id - order_id >= OLD_ORDER_IDS):
        # Ids have jumped since, perhaps by so many that an order that comes now may be taken for this one.
        forget_listed(account_market, handle, order_id)
    if hash:
        table_remove(&exchange.client_ids, client_id_mix(hash), handle)


# -- finding an order


cdef inline uint32_t find_client_id(
    Exchange* exchange, uint32_t account, const char* client_id, uint32_t hash
) noexcept nogil:
    """The handle of the account's open order with this client id; 0 if there is none."""
    cdef uint64_t mixed_hash = client_id_mix(hash)
    cdef TableSearch search = table_search(&exchange.client_ids, mixed_hash)
    cdef uint32_t handle = table_next(&exchange.client_ids, mixed_hash, &search)
    cdef OrderInfo* info
    while jibek_unlikely(handle):
        info = &exchange.infos[handle]
        if info.client_hash == hash and exchange.account_markets[info.account_market].account == account:
            if not client_ids_differ(client_id_read(client_id), client_id_read(info.client_id)):
                return handle
        handle = table_next(&exchange.client_ids, mixed_hash, &search)
    return 0


cdef inline uint32_t find_order(
    Exchange* exchange, uint32_t account, uint32_t market, uint64_t order_id, const char* client_id, uint32_t hash
) noexcept nogil:
    """The handle of an account's open order with this id, or if that is 0 with this client id.

    0 if there is none in this market, or if a client id is given that is not the order's.
    """
    cdef uint32_t handle = 0
    cdef ClientIdWords id
    cdef const AccountMarket* account_market
    if jibek_likely(order_id):
        handle = ids_get(&exchange.ids, exchange.arena.nodes, order_id)
    elif client_id[0]:
        handle = find_client_id(exchange, account, client_id, hash)
    if jibek_unlikely(handle == 0):
        return 0
    account_market = &exchange.account_markets[exchange.infos[handle].account_market]
    if jibek_unlikely(account_market.account != account or account_market.market != market):
        return 0
    id = client_id_read(client_id)
    if jibek_unlikely(not client_id_is_none(id)):
        if client_ids_differ(id, client_id_read(exchange.infos[handle].client_id)):
            return 0
    return handle


# -- memory for the indexes of orders


cdef inline void set_room(Exchange* exchange) noexcept nogil:
    """How many orders all indexes have room for, whichever handles they get."""
    exchange.room = exchange.info_capacity - 1 if exchange.info_capacity else 0
    exchange.room = exchange.room if exchange.room < exchange.ids.count_max else exchange.ids.count_max
    exchange.room = exchange.room if exchange.room < exchange.client_ids.count_max else exchange.client_ids.count_max


cdef inline bint reserve_infos(Exchange* exchange, uint64_t capacity) noexcept nogil:
    """Room for what is kept of so many orders; False where memory is out."""
    cdef uint64_t used = exchange.info_capacity
    if not room_grow(&exchange.info_room, used * sizeof(OrderInfo), capacity * sizeof(OrderInfo)):
        return False
    exchange.infos = <OrderInfo*>exchange.info_room.memory
    if not room_grow_lean(&exchange.time_room, used * sizeof(OrderTimes), capacity * sizeof(OrderTimes)):
        return False
    exchange.times = <OrderTimes*>exchange.time_room.memory
    exchange.info_capacity = exchange.info_room.size // sizeof(OrderInfo)
    if exchange.info_capacity > exchange.time_room.size // sizeof(OrderTimes):
        exchange.info_capacity = exchange.time_room.size // sizeof(OrderTimes)
    return True


cdef inline bint reserve_orders(Exchange* exchange) noexcept nogil:
    """Makes room for more orders in every index; False where memory is out."""
    if exchange.info_capacity < exchange.arena.used:
        # Not as many as the arena has addresses for, which are many where it is in huge pages.
        if not reserve_infos(exchange, 2 * <uint64_t>exchange.arena.used):
            return False
    if not ids_reserve(&exchange.ids, exchange.arena.nodes):
        return False
    if not table_reserve(&exchange.client_ids, mixed_hash_of, exchange.infos):
        return False
    set_room(exchange)
    return True


cdef inline void compact_orders(Exchange* exchange) noexcept nogil:
    """Moves the few orders that are left to new memory; they stay where they are if memory is out."""
    cdef Compaction compaction
    cdef Room infos, times
    cdef OpenOrder* orders
    cdef uint64_t capacity = 2 * (exchange.arena.live + RECORDS_MIN)
    cdef uint32_t index, place
    memset(&infos, 0, sizeof(Room))
    memset(&times, 0, sizeof(Room))
    drop_all_ended(exchange)
    if (
        room_grow(&infos, 0, capacity * sizeof(OrderInfo))
        and room_grow_lean(&times, 0, capacity * sizeof(OrderTimes))
        and compaction_begin(&exchange.arena, &compaction)
    ):
        for index in range(exchange.market_count):
            compaction_move(&exchange.arena, &exchange.markets[index].ladder, &compaction)
        for index in range(compaction.handle_count):
            if compaction.handles[index]:
                (<OrderInfo*>infos.memory)[compaction.handles[index]] = exchange.infos[index]
                (<OrderTimes*>times.memory)[compaction.handles[index]] = exchange.times[index]
        table_renumber(&exchange.client_ids, compaction.handles)
        for index in range(1, exchange.account_market_count):
            orders = listed_orders(&exchange.account_markets[index])
            for place in range(exchange.account_markets[index].listed_count):
                orders[place].handle = compaction.handles[orders[place].handle]
        compaction_end(&compaction, &exchange.ids)
        infos, exchange.info_room = exchange.info_room, infos
        times, exchange.time_room = exchange.time_room, times
        exchange.info_capacity = 0
        # Both rooms are large enough, so this only notes where they are.
        reserve_infos(exchange, capacity)
    room_free(&infos)
    room_free(&times)


cdef inline void shrink_orders(Exchange* exchange) noexcept nogil:
    """Frees memory that orders which have gone leave unused. Handles may change."""
    if jibek_likely(
        exchange.ids.count >= exchange.ids.count_min
        and exchange.client_ids.count >= exchange.client_ids.count_min
        and not arena_is_sparse(&exchange.arena)
    ):
        return
    ids_shrink(&exchange.ids, exchange.arena.nodes)
    table_shrink(&exchange.client_ids, mixed_hash_of, exchange.infos)
    if arena_is_sparse(&exchange.arena):
        compact_orders(exchange)
    set_room(exchange)
