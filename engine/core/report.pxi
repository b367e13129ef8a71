# What the state is: queries, dump, load and check, over a Core: the twin of `engine/reference/report.py`.

# -- queries


cdef report_state(Core core):
    """STATE_REPORT: digests and counts of the state before the command."""
    balances = all_balances(core)
    accounts, orders = core.exchange.account_count, core.exchange.arena.live
    state_hash = hashlib.sha256(dump(core)).digest()
    report = StateReportView(state_hash, balances_digest(balances), accounts, orders, len(balances))
    core._emit(EVENT_KIND_STATE_REPORTED, pack_parts(STATE_REPORT.pack(report)))


cdef list all_balances(Core core):
    """(account, asset, available, held) in ascending order, leaving out what is zero."""
    cdef uint32_t number
    result = []
    for number in range(core.exchange.account_count):
        result += [(number, *balance) for balance in account_balances(core, number)]
    return result


cdef list account_balances(Core core, uint32_t number):
    """(asset, available, held) of one account in ascending order, leaving out what is zero."""
    cdef AccountRecord* account = &core.exchange.accounts[number]
    cdef uint16_t index
    cdef Holding* holding
    result = []
    for index in range(account.holding_count):
        holding = &holdings_of(account)[index]
        if holding.available or holding.held:
            result.append((holding.asset, holding.available, holding.held))
    return result


cdef list depth(MarketRecord* market, int side, levels):
    """Prices and quantities of one side, best first; at most `levels` of them, None gives all."""
    cdef Level* level = ladder_best_level(&market.ladder, side_is_ask(side))
    result = []
    while level != NULL and (levels is None or len(result) < levels):
        result.append((ladder_key(level.key < 0, level.key), level.quantity_lots))
        level = tree_worse_level(level)
    return result


cdef list open_orders_of(Core core, uint32_t account, uint32_t market):
    """The open orders of an account in one market or (0) in all: by market number, then by id."""
    cdef Exchange* exchange = &core.exchange
    cdef AccountMarket* account_market
    cdef uint32_t handle = exchange.accounts[account].markets
    cdef uint32_t place
    found = []
    while handle:
        account_market = &exchange.account_markets[handle]
        if account_market.open_count and market in (0, account_market.market):
            found.append((account_market.market, handle))
        handle = account_market.next
    result = []
    for _, handle in sorted(found):
        account_market = &exchange.account_markets[handle]
        for place in range(account_market.listed_count):
            if is_open(exchange, account_market, &listed_orders(account_market)[place]):
                result.append(open_order(core, listed_orders(account_market)[place].handle))
    return result


cdef open_order(Core core, uint32_t handle):
    """An open order as queries show it."""
    cdef Node* node = &core.exchange.arena.nodes[handle]
    cdef OrderInfo* info = &core.exchange.infos[handle]
    return (
        node.order_id,
        core.exchange.account_markets[info.account_market].market,
        side_number(ladder_is_ask(node)),
        ladder_price(node),
        info.quantity_lots,
        node.remaining_lots,
        PyBytes_FromStringAndSize(info.client_id, RECORD_CLIENT_ID_BYTES),
    )


cdef bytes book_state(Core core, MarketRecord* market):
    """The book of a market as `engine.Book.to_bytes` would give it."""
    cdef uint64_t orders = saved_book_orders(&market.ladder, core.exchange.arena.nodes)
    data = PyBytes_FromStringAndSize(NULL, saved_book_size(orders))
    saved_book_write(&market.ladder, core.exchange.arena.nodes, data)
    return data


# -- the dump


cdef bytes dump(Core core):
    """The whole state in canonical form."""
    cdef Exchange* exchange = &core.exchange
    cdef uint32_t index
    venue = SavedVenueView(
        time_us=exchange.time_us,
        accepted_difference_us=exchange.accepted_difference_us,
        accepted_time_us=exchange.accepted_time_us,
        accepted_store_us=exchange.accepted_store_us,
        rules_version=exchange.rules_version,
        last_order_id=exchange.last_order_id,
        order_count=exchange.arena.live,
        venue_state=exchange.venue_state,
        asset_count=len(core.assets),
        market_count=exchange.market_count,
        account_count=exchange.account_count,
        agenda_count=exchange.agenda_count,
        producer_count=len(core.producers),
        tier_count=len(core.tiers),
    )
    pieces = [SAVED_VENUE.pack(venue)]
    for name, scale, issued in core.assets:
        pieces += [SAVED_ASSET.pack(SavedAssetView(issued, scale)), pack_parts(name)]
    for index in range(exchange.market_count):
        pieces.append(dump_market(core, index))
    for tier, limits in core.tiers.items():
        pieces += [TIER_LIMITS.pack(limits), pack_parts(tier)]
    for index in range(exchange.account_count):
        pieces.append(dump_account(core, index))
    for index in range(exchange.market_count):
        pieces += [dump_orders(core, exchange.markets[index], False), dump_orders(core, exchange.markets[index], True)]
    for index in range(exchange.agenda_count):
        item = exchange.agenda[index]
        pieces.append(SAVED_AGENDA_ITEM.pack(SavedAgendaItemView(item.kind, item.account, item.market, item.reason)))
    for producer, (incarnation, number) in sorted(core.producers.items()):
        pieces.append(SAVED_PRODUCER.pack(SavedProducerView(incarnation, number, producer)))
    return b"".join(pieces)


cdef uint64_t side_count(Core core, MarketRecord* market, bint is_ask):
    """How many orders rest on a side."""
    cdef uint32_t handle = ladder_first(&market.ladder, is_ask)
    cdef uint64_t count = 0
    while handle:
        count += 1
        handle = ladder_after(&core.exchange.arena.nodes[handle])
    return count


cdef bytes dump_market(Core core, uint32_t index):
    cdef MarketRecord* market = core.exchange.markets[index]
    saved = SavedMarketView(
        last_trade_id=market.last_trade_id,
        last_update_id=market.last_update_id,
        last_price_ticks=market.last_price_ticks,
        maker_fee_ppm=market.definition.maker_fee_ppm,
        taker_fee_ppm=market.definition.taker_fee_ppm,
        state=market.state,
        bid_count=side_count(core, market, False),
        ask_count=side_count(core, market, True),
    )
    return core.market_definitions[index] + SAVED_MARKET.pack(saved) + pack_parts(core.symbols[index])


cdef list account_fees_of(Core core, uint32_t account):
    """(market, maker, taker) of the fees of an account, by market."""
    cdef uint32_t handle = core.exchange.accounts[account].markets
    cdef AccountMarket* account_market
    fees = []
    while handle:
        account_market = &core.exchange.account_markets[handle]
        if account_market.fees_are_set:
            fees.append((account_market.market, account_market.maker_fee_ppm, account_market.taker_fee_ppm))
        handle = account_market.next
    return sorted(fees)


cdef bytes dump_account(Core core, uint32_t number):
    balances = account_balances(core, number)
    fees = account_fees_of(core, number)
    keys = core.account_keys.get(number, {})
    tier = core.account_tiers.get(number, 0)
    saved = SavedAccountView(core.exchange.accounts[number].frozen, tier, len(balances), len(fees), len(keys))
    pieces = [SAVED_ACCOUNT.pack(saved), pack_parts(core.account_names[number])]
    pieces += [SAVED_BALANCE.pack(SavedBalanceView(available, held, asset)) for asset, available, held in balances]
    pieces += [SAVED_FEES.pack(SavedFeesView(*rates)) for rates in fees]
    for key_id, (key_type, permissions, expiry_us, public_key, networks) in sorted(keys.items()):
        saved_key = SavedKeyView(key_type, permissions, expiry_us)
        pieces += [SAVED_KEY.pack(saved_key), pack_parts(key_id, public_key, networks)]
    return b"".join(pieces)


cdef bytes dump_orders(Core core, MarketRecord* market, bint is_ask):
    """The orders of one side in priority."""
    cdef Exchange* exchange = &core.exchange
    cdef bytes data = PyBytes_FromStringAndSize(NULL, side_count(core, market, is_ask) * sizeof(SavedOrder))
    cdef SavedOrder* saved = <SavedOrder*>PyBytes_AS_STRING(data)
    cdef uint32_t handle = ladder_first(&market.ladder, is_ask)
    cdef Node* node
    cdef OrderInfo* info
    while handle:
        node = &exchange.arena.nodes[handle]
        info = &exchange.infos[handle]
        memset(saved, 0, sizeof(SavedOrder))
        saved.order_id = node.order_id
        saved.price_ticks = ladder_price(node)
        saved.quantity_lots = info.quantity_lots
        saved.remaining_lots = node.remaining_lots
        saved.cumulative_quote = info.cumulative_quote
        saved.created_us = exchange.times[handle].created_us
        saved.updated_us = exchange.times[handle].updated_us
        saved.working_us = exchange.times[handle].created_us
        saved.account = exchange.account_markets[info.account_market].account
        saved.fee_credit = order_credit(info.packed)
        saved.order_type = info.packed & 15
        saved.time_in_force = info.packed >> 4 & 15
        saved.self_trade_mode = info.packed >> 8 & 15
        memcpy(saved.client_id, info.client_id, RECORD_CLIENT_ID_BYTES)
        saved += 1
        handle = ladder_after(node)
    return data


# -- loading


cdef load(Core core, bytes data):
    """Fills an empty core with the state of which `data` is the dump. Raises SavedStateFault."""
    cdef Exchange* exchange = &core.exchange
    cdef uint32_t index
    reader = StateReader(data)
    venue = reader.record(SAVED_VENUE)
    check_saved_venue(venue)
    exchange.time_us = venue.time_us
    exchange.accepted_difference_us = venue.accepted_difference_us
    exchange.accepted_time_us = venue.accepted_time_us
    exchange.accepted_store_us = venue.accepted_store_us
    exchange.rules_version = venue.rules_version
    exchange.last_order_id = venue.last_order_id
    exchange.venue_state = venue.venue_state
    for _ in range(venue.asset_count):
        load_asset(core, reader)
    counts = [load_market(core, reader) for _ in range(venue.market_count)]
    core.tiers.clear()
    for index in range(venue.tier_count):
        load_tier(core, index, reader)
    for index in range(venue.account_count):
        load_account(core, index, reader)
    needs = {}
    listed = []
    for index in range(venue.market_count):
        for is_ask in range(2):
            load_side(core, exchange.markets[index], is_ask, counts[index][is_ask], reader, needs, listed)
    list_loaded_orders(core, listed)
    for _ in range(venue.agenda_count):
        item = reader.record(SAVED_AGENDA_ITEM)
        check_saved_agenda_item(item, exchange.account_count, exchange.market_count)
        if not add_to_agenda(exchange, item.kind, item.account, item.market, item.reason):
            raise MemoryError("no room on the agenda")
    for saved in reader.producers(venue.producer_count):
        core.producers[saved.producer] = (saved.incarnation, saved.number)
    reader.end()
    if exchange.arena.live != venue.order_count:
        raise SavedStateFault(f"there are {exchange.arena.live} orders, and {venue.order_count} are announced")
    check_sums(core, needs)


cdef load_asset(Core core, reader):
    saved, name = reader.record(SAVED_ASSET), reader.part()
    check_saved_asset(saved, name, core.asset_names)
    core.assets.append([name, saved.scale, saved.issued])
    core.asset_names.add(name)


cdef load_market(Core core, reader):
    """How many bids and asks it has."""
    cdef MarketRecord* market
    definition, saved, symbol = reader.record(MARKET_DEFINITION), reader.record(SAVED_MARKET), reader.part()
    scales = {number: scale for number, (_, scale, _) in enumerate(core.assets, start=1)}
    lot_value_units = check_saved_market(definition, saved, symbol, scales, core.symbols)
    market = list_market(core, definition, symbol, lot_value_units)
    market.definition.maker_fee_ppm = saved.maker_fee_ppm
    market.definition.taker_fee_ppm = saved.taker_fee_ppm
    market.state = saved.state
    market.last_trade_id = saved.last_trade_id
    market.last_update_id = saved.last_update_id
    market.last_price_ticks = saved.last_price_ticks
    return saved.bid_count, saved.ask_count


cdef load_tier(Core core, uint32_t number, reader):
    limits, tier = reader.record(TIER_LIMITS), reader.part()
    check_saved_tier(limits, tier, number, core.tiers)
    core.tiers[tier] = limits


cdef load_account(Core core, uint32_t number, reader):
    cdef Holding* holding
    saved, name = reader.record(SAVED_ACCOUNT), reader.part()
    check_saved_account(saved, name, number, core.account_name_set, len(core.tiers))
    open_account(core, name)
    core.exchange.accounts[number].frozen = saved.is_frozen
    if saved.tier:
        core.account_tiers[number] = saved.tier
    for balance in reader.balances(saved.balance_count, len(core.assets)):
        holding = balance_of(core, number, balance.asset)
        holding.available = balance.available
        holding.held = balance.held
    last_market = -1
    for _ in range(saved.fees_count):
        fees = reader.record(SAVED_FEES)
        check_saved_fees(fees, number, last_market, core.exchange.market_count)
        set_account_fees(core, number, fees.market, fees.maker_fee_ppm, fees.taker_fee_ppm)
        last_market = fees.market
    last_id = b""
    for _ in range(saved.key_count):
        key, key_id, public_key, networks = reader.record(SAVED_KEY), reader.part(), reader.part(), reader.part()
        check_saved_key(key, key_id, public_key, networks, number, last_id, core.key_owners)
        core.account_keys.setdefault(number, {})[key_id] = (*key, public_key, networks)
        core.key_owners[key_id] = number
        last_id = key_id


cdef load_side(Core core, MarketRecord* market, bint is_ask, uint64_t count, reader, dict needs, list listed):
    """The orders of one side in priority: each at a worse price than the one before it, or later at the same."""
    cdef uint64_t last_id = 0
    cdef int64_t key, last_key = AMOUNT_MAX
    definition = MARKET_DEFINITION.unpack_from(core.market_definitions[market.number - 1])
    for saved in reader.orders(count):
        check_saved_order(
            saved, definition, market.lot_value_units, core.exchange.last_order_id, core.exchange.account_count,
            core.exchange.time_us,
        )
        key = ladder_key(is_ask, saved.price_ticks)
        if key > last_key or (key == last_key and saved.order_id < last_id):
            raise SavedStateFault(f"order {saved.order_id} is out of order")
        load_order(core, market, is_ask, saved, needs, listed)
        last_key, last_id = key, saved.order_id


cdef load_order(Core core, MarketRecord* market, bint is_ask, saved, dict needs, list listed):
    """Puts an order at the end of its queue; notes what it can need, and that it is still to be listed with its account."""
    cdef Exchange* exchange = &core.exchange
    cdef bytes client_id = saved.client_id
    cdef const char* id = PyBytes_AS_STRING(client_id)
    cdef uint64_t order_id
    cdef uint32_t account, handle, hash
    cdef int64_t key
    cdef AccountMarket* account_market
    cdef OrderInfo* info
    order_id, account = saved.order_id, saved.account
    key = ladder_key(is_ask, saved.price_ticks)
    hash = client_id_hash(client_id_read(id), exchange.client_id_seed, account) if id[0] else 0
    if ids_get(&exchange.ids, exchange.arena.nodes, order_id) or (hash and find_client_id(exchange, account, id, hash)):
        raise SavedStateFault(f"order {order_id} is there already, or its client id is")
    if is_ask and ladder_crosses(&market.ladder, is_ask, key):
        raise SavedStateFault(f"order {order_id} crosses the book")
    account_market = find_account_market(exchange, account, market.number)
    if account_market == NULL:
        account_market = add_account_market(exchange, account, market.number)
    if account_market == NULL:
        raise MemoryError("no room for one more market of an account")
    handle = ladder_rest(&exchange.arena, &market.ladder, key, saved.remaining_lots, order_id)
    if handle == 0 or (exchange.arena.live > exchange.room and not reserve_orders(exchange)):
        raise MemoryError("no room for one more order")
    if not ids_insert(&exchange.ids, exchange.arena.nodes, order_id, handle):
        raise MemoryError("no room for one more order id")
    info = &exchange.infos[handle]
    info.quantity_lots = saved.quantity_lots
    info.cumulative_quote = saved.cumulative_quote
    info.client_hash = hash
    info.account_market = <uint32_t>(account_market - exchange.account_markets)
    memcpy(info.client_id, id, RECORD_CLIENT_ID_BYTES)
    info.packed = with_credit(saved.order_type | saved.time_in_force << 4 | saved.self_trade_mode << 8, saved.fee_credit)
    exchange.times[handle].created_us = saved.created_us
    exchange.times[handle].updated_us = saved.updated_us
    # The client id is found from now on; the account's list is filled when all orders are there, oldest first.
    if hash:
        table_insert(&exchange.client_ids, client_id_mix(hash), handle)
    listed.append((order_id, handle))
    asset = market.definition.base_asset if is_ask else market.definition.quote_asset
    needs[account, asset] = needs.get((account, asset), 0) + hold_of(market, is_ask, saved.price_ticks, saved.remaining_lots)


cdef list_loaded_orders(Core core, list listed):
    """Lists the orders with their accounts, oldest first."""
    cdef Exchange* exchange = &core.exchange
    cdef AccountMarket* account_market
    cdef uint64_t order_id
    cdef uint32_t handle
    for order_id, handle in sorted(listed):
        account_market = &exchange.account_markets[exchange.infos[handle].account_market]
        if not list_with_account(exchange, account_market, handle, order_id):
            raise MemoryError("no room for one more open order")


cdef check_sums(Core core, dict needs):
    """What accounts have is what came in, and what they hold is what their orders can need."""
    sums, _, held = sums_of(core)
    if list(sums.values()) != [issued for _, _, issued in core.assets]:
        raise SavedStateFault("what the accounts have is not what came in")
    if held != needs:
        raise SavedStateFault("what the accounts hold is not what their orders can need")


# -- the check


cdef check(Core core):
    """Walks the whole state and asserts every invariant (docs/invariants.md)."""
    cdef Exchange* exchange = &core.exchange
    cdef uint32_t index
    # I3, I4: no balance is negative, and each asset's sum is what came in minus what went out.
    sums, negative, held = sums_of(core)
    assert not negative, negative
    assert list(sums.values()) == [issued for _, _, issued in core.assets], sums
    # I6: the agenda names what there is.
    for index in range(exchange.agenda_count):
        assert 0 < exchange.agenda[index].account < exchange.account_count, index
        assert exchange.agenda[index].market <= exchange.market_count, index
    # I6: an account's tier is one that there is.
    assert all([0 < number < exchange.account_count for number in core.account_tiers]), core.account_tiers
    assert all([tier < len(core.tiers) for tier in core.account_tiers.values()]), core.account_tiers
    needs = {}
    resting = sum([check_book(core, exchange.markets[index], needs) for index in range(exchange.market_count)])
    # I5: what is held is exactly what the open orders can need.
    assert held == needs, (held, needs)
    check_indexes(core, resting)


cdef uint64_t check_book(Core core, MarketRecord* market, dict needs) except? 0:
    """How many orders rest in the market; adds up what they can need."""
    cdef Exchange* exchange = &core.exchange
    cdef OrderInfo* info
    cdef AccountMarket* account_market
    cdef Node* node
    cdef uint32_t handle
    cdef uint64_t resting = 0
    cdef bint is_ask
    # I1: no book is crossed.
    assert ladder_best_bid(&market.ladder) < ladder_best_ask(&market.ladder), market.number
    for is_ask in (False, True):
        last_id, last_price, level_sum = 0, 0, 0
        handle = ladder_first(&market.ladder, is_ask)
        while handle:
            node = &exchange.arena.nodes[handle]
            info = &exchange.infos[handle]
            account_market = &exchange.account_markets[info.account_market]
            price_ticks = ladder_price(node)
            # I2: every order is on the side and in the market of its queue, and ids lead to it.
            assert ladder_is_ask(node) == is_ask and account_market.market == market.number, node.order_id
            assert ids_get(&exchange.ids, exchange.arena.nodes, node.order_id) == handle, node.order_id
            # I1: within a level orders are in order of arrival; no order is empty.
            assert price_ticks != last_price or node.order_id > last_id, node.order_id
            assert 0 < node.remaining_lots <= info.quantity_lots, node.order_id
            assert order_credit(info.packed) < RECORD_PPM and node.order_id <= exchange.last_order_id, node.order_id
            assert exchange.times[handle].created_us <= exchange.times[handle].updated_us <= exchange.time_us, node.order_id
            check_client_id(core, handle)
            # I1: a level's quantity is the sum of its orders.
            level_sum = node.remaining_lots + (level_sum if price_ticks == last_price else 0)
            if node.next == 0:
                assert level_sum == node.level.quantity_lots, level_sum
            key = (account_market.account, market.definition.base_asset if is_ask else market.definition.quote_asset)
            needs[key] = needs.get(key, 0) + hold_of(market, is_ask, price_ticks, node.remaining_lots)
            last_id, last_price = node.order_id, price_ticks
            resting += 1
            handle = ladder_after(node)
    return resting


cdef check_client_id(Core core, uint32_t handle):
    """I2: a client id leads to its order."""
    cdef Exchange* exchange = &core.exchange
    cdef OrderInfo* info = &exchange.infos[handle]
    cdef uint32_t account = exchange.account_markets[info.account_market].account
    if info.client_hash:
        hash = client_id_hash(client_id_read(info.client_id), exchange.client_id_seed, account)
        assert info.client_hash == hash, exchange.arena.nodes[handle].order_id
        assert find_client_id(exchange, account, info.client_id, hash) == handle, exchange.arena.nodes[handle].order_id


cdef check_indexes(Core core, uint64_t resting):
    """I2: every index knows the same orders, and an account's are listed once, oldest first."""
    cdef Exchange* exchange = &core.exchange
    cdef AccountMarket* account_market
    cdef uint32_t number, place
    cdef uint64_t named = 0
    listed = 0
    for number in range(1, exchange.account_market_count):
        account_market = &exchange.account_markets[number]
        open_ids = []
        for place in range(account_market.listed_count):
            if is_open(exchange, account_market, &listed_orders(account_market)[place]):
                open_ids.append(exchange.arena.nodes[listed_orders(account_market)[place].handle].order_id)
        owner = (account_market.account, account_market.market)
        assert open_ids == sorted(set(open_ids)), (owner, open_ids)
        assert len(open_ids) == account_market.open_count, (owner, open_ids, account_market.open_count)
        listed += len(open_ids)
        check_account_fees(core, account_market)
    ids, live = exchange.ids.count, exchange.arena.live
    assert resting == listed == live == ids, (resting, listed, live, ids)
    for number in range(exchange.market_count):
        named += named_orders(core, exchange.markets[number])
    assert named == exchange.client_ids.count, (named, exchange.client_ids.count)


cdef uint64_t named_orders(Core core, MarketRecord* market):
    """How many orders of a market have a client id."""
    cdef uint64_t named = 0
    cdef uint32_t handle
    cdef bint is_ask
    for is_ask in (False, True):
        handle = ladder_first(&market.ladder, is_ask)
        while handle:
            named += core.exchange.infos[handle].client_hash != 0
            handle = ladder_after(&core.exchange.arena.nodes[handle])
    return named


cdef check_account_fees(Core core, AccountMarket* account_market):
    """Fees for all markets are copied to each market in which the account has none of its own."""
    cdef AccountMarket* general
    if account_market.fees_are_set or account_market.market == 0:
        return
    if core.exchange.accounts[account_market.account].has_account_fees:
        general = look_up_account_market(&core.exchange, account_market.account, 0)
        assert account_market.maker_fee_ppm == general.maker_fee_ppm, account_market.account
        assert account_market.taker_fee_ppm == general.taker_fee_ppm, account_market.account
    else:
        assert account_market.maker_fee_ppm == account_market.taker_fee_ppm == NO_RATE, account_market.account


cdef sums_of(Core core):
    """What all accounts have by asset, which balances are negative, and what is held by account and asset."""
    sums = dict.fromkeys(range(1, len(core.assets) + 1), 0)
    negative, held = [], {}
    for number, asset, available, hold in all_balances(core):
        sums[asset] += available + hold
        if available < 0 or hold < 0:
            negative.append((number, asset, available, hold))
        if hold:
            held[number, asset] = hold
    return sums, negative, held
