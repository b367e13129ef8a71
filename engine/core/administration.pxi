# What operators do, over the Core's cold state: the twin of `engine/reference/administration.py`.

_NUMBERS_MAX = (1 << 16) - 1


cdef int administer(Core core, const Command* command, bytes blob) except? -1:
    """Executes a command that no hot path takes; the reason where the C functions refuse it. Raises Rejected."""
    cdef int kind = command.kind
    if kind == COMMAND_KIND_ORDER_CANCEL:
        return cancel_with_id(core, command, blob)
    if kind == COMMAND_KIND_ORDER_CANCEL_ALL:
        return cancel_all_orders(&core.exchange, command.account, command.market)
    if kind == COMMAND_KIND_EPOCH_START:
        epoch_start(core, blob)
    elif kind == COMMAND_KIND_ASSET_ADD:
        add_asset(core, blob)
    elif kind == COMMAND_KIND_MARKET_ADD:
        add_market(core, blob)
    elif kind == COMMAND_KIND_FEES_SET:
        set_fees(core, command.account, command.market, blob)
    elif kind == COMMAND_KIND_MARKET_STATE_SET:
        set_market_state(core, command.market, command.state, blob)
    elif kind == COMMAND_KIND_LIMITS_SET:
        set_limits(core, blob)
    elif kind == COMMAND_KIND_TIME_ACCEPT:
        accept_time(core, command.amount, command.expiry_us, blob)
    elif kind == COMMAND_KIND_ACCOUNT_ADD:
        add_account(core, blob)
    elif kind == COMMAND_KIND_ACCOUNT_FREEZE:
        freeze_account(core, command.account, blob)
    elif kind == COMMAND_KIND_ACCOUNT_UNFREEZE:
        unfreeze_account(core, command.account, blob)
    elif kind == COMMAND_KIND_KEY_ADD:
        add_key(core, command.account, blob)
    elif kind == COMMAND_KIND_KEY_REVOKE:
        revoke_key(core, command.account, blob)
    elif kind == COMMAND_KIND_ACCOUNT_LIMITS_SET:
        set_account_limits(core, command.account, blob)
    elif kind == COMMAND_KIND_DEPOSIT:
        deposit(core, command.account, command.asset, command.amount, blob)
    elif kind == COMMAND_KIND_WITHDRAW:
        withdraw(core, command.account, command.asset, command.amount, blob)
    elif kind == COMMAND_KIND_STATE_REPORT:
        report_state(core)
    # The stamp of its entry, and the agenda before it, have done all the work: a surplus TIME_TICK does nothing.
    return REASON_NONE


cdef int cancel_with_id(Core core, const Command* command, bytes blob) except? -1:
    """A cancel with a client id of its own, which its ORDER_CLOSED carries."""
    cdef Exchange* exchange = &core.exchange
    cdef int reason
    if blob:
        (cancel_id,) = read_parts(blob, 1)
        reject_unless(len(cancel_id) <= RECORD_CLIENT_ID_BYTES, Reason.INVALID_CLIENT_ID)
    reason = cancel_order(exchange, command, exchange.client_hashes[exchange.entry.command_index % CLIENT_HASHES])
    if reason == REASON_NONE:
        core._attach(&exchange.entry.events[exchange.entry.event_count - 1].order, blob)
    return reason


cdef epoch_start(Core core, bytes blob):
    """A new epoch: the ids that a lost tail may have used are passed over."""
    cdef uint64_t used = core.exchange.last_order_id
    cdef uint32_t index
    cdef MarketRecord* market
    start = read_epoch_start(blob)
    for index in range(core.exchange.market_count):
        market = core.exchange.markets[index]
        used = max(used, market.last_trade_id, market.last_update_id)
    if start.ids_skip and used + start.ids_skip > IDS_SKIPPED_MAX:
        raise EngineStop(f"the epoch-start skips {start.ids_skip} ids, and {used} are used: too few would be left")
    core.exchange.rules_version = start.rules_version
    core.exchange.last_order_id += <uint64_t>start.ids_skip
    for index in range(core.exchange.market_count):
        core.exchange.markets[index].last_trade_id += <uint64_t>start.ids_skip
        core.exchange.markets[index].last_update_id += <uint64_t>start.ids_skip
    # The lists of open orders know the lower half of an id, and the ids to come may have those of orders that have gone.
    drop_all_ended(&core.exchange)
    core._emit(EVENT_KIND_EPOCH_STARTED, blob)


cdef add_asset(Core core, bytes blob):
    """Lists an asset under the next number."""
    scale, name = read_asset(blob)
    reject_unless(name not in core.asset_names, Reason.ASSET_EXISTS)
    number = len(core.assets) + 1
    reject_unless(number <= _NUMBERS_MAX, Reason.TOO_MANY_DEFINITIONS)
    core.assets.append([name, scale, 0])
    core.asset_names.add(name)
    core._emit(EVENT_KIND_ASSET_ADDED, blob).asset = number


cdef MarketRecord* list_market(Core core, definition, bytes symbol, int64_t lot_value_units) except NULL:
    """A market without orders under the next number."""
    cdef uint32_t number = core.exchange.market_count + 1
    cdef bytes packed = MARKET_DEFINITION.pack(definition)
    cdef MarketRecord** markets = <MarketRecord**>realloc(core.exchange.markets, number * sizeof(MarketRecord*))
    cdef MarketRecord* market
    if markets == NULL:
        raise MemoryError("no room for one more market")
    core.exchange.markets = markets
    market = <MarketRecord*>calloc(1, sizeof(MarketRecord))
    if market == NULL:
        raise MemoryError("no room for one more market")
    memcpy(&market.definition, PyBytes_AS_STRING(packed), sizeof(MarketDefinition))
    market.event_base = <uint64_t>market.definition.base_asset << 48
    market.event_quote = market.definition.quote_asset
    market.number = number
    market.state = MARKET_STATE_TRADING
    market.lot_value_units = lot_value_units
    ladder_init(&market.ladder)
    core.exchange.markets[number - 1] = market
    core.exchange.market_count = number
    core.symbols.append(symbol)
    core.market_definitions.append(packed)
    return market


cdef add_market(Core core, bytes blob):
    """Lists a market under the next number."""
    cdef OrderEvent* event
    cdef MarketRecord* market
    scales = {number: scale for number, (_, scale, _) in enumerate(core.assets, start=1)}
    definition, symbol, lot_value_units = read_market(blob, scales)
    reject_unless(symbol not in core.symbols, Reason.MARKET_EXISTS)
    reject_unless(core.exchange.market_count < _NUMBERS_MAX, Reason.TOO_MANY_DEFINITIONS)
    market = list_market(core, definition, symbol, lot_value_units)
    event = core._emit(EVENT_KIND_MARKET_ADDED, blob)
    event.market = market.number
    event.base_asset = <uint16_t>market.definition.base_asset
    event.quote_asset = <uint16_t>market.definition.quote_asset


cdef set_fees(Core core, uint32_t account, uint32_t market, bytes blob):
    """Sets the fees of a market, or of an account in one market or (0) in all in which it has none of its own."""
    cdef OrderEvent* event
    fees = read_fees(blob)
    for_all_markets = account != 0 and market == 0
    reject_unless(for_all_markets or 0 < market <= core.exchange.market_count, Reason.UNKNOWN_MARKET)
    if account == 0:
        core.exchange.markets[market - 1].definition.maker_fee_ppm = fees.maker_fee_ppm
        core.exchange.markets[market - 1].definition.taker_fee_ppm = fees.taker_fee_ppm
    else:
        check_client(core, account)
        set_account_fees(core, account, market, fees.maker_fee_ppm, fees.taker_fee_ppm)
    event = core._emit(EVENT_KIND_FEES_CHANGED, blob)
    event.account = account
    event.market = market


cdef set_account_fees(Core core, uint32_t account, uint32_t market, uint32_t maker_fee_ppm, uint32_t taker_fee_ppm):
    """Sets the fees of an account where a fill looks, in each AccountMarket; those for all markets are copied."""
    cdef Exchange* exchange = &core.exchange
    cdef AccountMarket* account_market = look_up_account_market(exchange, account, market)
    cdef uint32_t handle
    if account_market == NULL:
        account_market = add_account_market(exchange, account, market)
    if account_market == NULL:
        raise MemoryError("no room for one more market of an account")
    account_market.fees_are_set = True
    account_market.maker_fee_ppm = maker_fee_ppm
    account_market.taker_fee_ppm = taker_fee_ppm
    if market:
        return
    exchange.accounts[account].has_account_fees = True
    handle = exchange.accounts[account].markets
    while handle:
        account_market = &exchange.account_markets[handle]
        if not account_market.fees_are_set:
            account_market.maker_fee_ppm = maker_fee_ppm
            account_market.taker_fee_ppm = taker_fee_ppm
        handle = account_market.next


cdef set_market_state(Core core, uint32_t market, uint32_t state, bytes blob):
    """Halts or resumes a market, or (0) the venue."""
    cdef OrderEvent* event
    read_change(blob)
    reject_unless(state in (MARKET_STATE_TRADING, MARKET_STATE_HALTED), Reason.INVALID_STATE)
    reject_unless(market <= core.exchange.market_count, Reason.UNKNOWN_MARKET)
    if market == 0:
        core.exchange.venue_state = state
    else:
        core.exchange.markets[market - 1].state = state
    event = core._emit(EVENT_KIND_MARKET_STATE_CHANGED, blob)
    event.market = market
    event.state = <uint8_t>state


cdef set_limits(Core core, bytes blob):
    """Defines a tier under the next number, or changes the numbers of one that there is."""
    limits, tier = read_limits(blob)
    reject_unless(tier in core.tiers or len(core.tiers) < TIERS_MAX, Reason.TOO_MANY_TIERS)
    core.tiers[tier] = limits
    core._emit(EVENT_KIND_LIMITS_CHANGED, blob).state = tier_number(core, tier)


cdef uint8_t tier_number(Core core, bytes tier) except? 255:
    """The number of a tier that there is."""
    return list(core.tiers).index(tier)


cdef accept_time(Core core, int64_t difference_us, int64_t store_us, bytes blob):
    """Takes the clocks as they are for right: the venue's time now, what the store's clock shows, and how far it is from the
    machine's. Only clock guards look at that."""
    read_change(blob)
    reject_unless(-AMOUNT_MAX <= difference_us <= AMOUNT_MAX and store_us >= 0, Reason.INVALID_AMOUNT)
    core.exchange.accepted_difference_us = difference_us
    core.exchange.accepted_time_us = core.exchange.time_us
    core.exchange.accepted_store_us = store_us
    event = core._emit(EVENT_KIND_TIME_ACCEPTED, blob)
    event.amount = difference_us
    event.expiry_us = store_us


cdef add_account(Core core, bytes blob):
    """Opens an account under the next number."""
    name = read_account(blob)
    reject_unless(name not in core.account_name_set, Reason.ACCOUNT_EXISTS)
    open_account(core, name)
    core._emit(EVENT_KIND_ACCOUNT_ADDED, blob).account = core.exchange.account_count - 1


cdef open_account(Core core, bytes name):
    """An account with nothing under the next number."""
    if not add_account_record(&core.exchange):
        raise MemoryError("no room for one more account")
    core.account_names.append(name)
    core.account_name_set.add(name)


cdef check_client(Core core, uint32_t account):
    reject_unless(find_client(&core.exchange, account) != NULL, Reason.UNKNOWN_ACCOUNT)


cdef freeze_account(Core core, uint32_t account, bytes blob):
    """Freezes an account and closes its open orders."""
    cdef Exchange* exchange = &core.exchange
    read_change(blob)
    check_client(core, account)
    reject_unless(not exchange.accounts[account].frozen, Reason.ACCOUNT_FROZEN)
    exchange.accounts[account].frozen = True
    core._emit(EVENT_KIND_ACCOUNT_FROZEN, blob).account = account
    if next_market_of(exchange, account, 0):
        if not add_to_agenda(exchange, AGENDA_KIND_CLOSE_ORDERS, account, 0, REASON_CANCELLED_BY_FREEZE):
            raise MemoryError("no room on the agenda")


cdef unfreeze_account(Core core, uint32_t account, bytes blob):
    """Lifts a freeze."""
    read_change(blob)
    check_client(core, account)
    reject_unless(core.exchange.accounts[account].frozen, Reason.ACCOUNT_NOT_FROZEN)
    core.exchange.accounts[account].frozen = False
    core._emit(EVENT_KIND_ACCOUNT_UNFROZEN, blob).account = account


cdef add_key(Core core, uint32_t account, bytes blob):
    """Gives an account an API key."""
    definition, key_id, public_key, networks = read_key(blob)
    check_client(core, account)
    reject_unless(key_id not in core.key_owners, Reason.KEY_EXISTS)
    keys = core.account_keys.setdefault(account, {})
    reject_unless(len(keys) < KEYS_PER_ACCOUNT_MAX, Reason.TOO_MANY_KEYS)
    keys[key_id] = (*definition, public_key, networks)
    core.key_owners[key_id] = account
    core._emit(EVENT_KIND_KEY_ADDED, blob).account = account


cdef revoke_key(Core core, uint32_t account, bytes blob):
    """Revokes an API key."""
    (key_id,) = read_change(blob, 1)
    check_client(core, account)
    keys = core.account_keys.get(account, {})
    reject_unless(key_id in keys, Reason.UNKNOWN_KEY)
    del keys[key_id]
    del core.key_owners[key_id]
    core._emit(EVENT_KIND_KEY_REVOKED, blob).account = account


cdef set_account_limits(Core core, uint32_t account, bytes blob):
    """Puts an account into a tier."""
    cdef OrderEvent* event
    tier = read_account_limits(blob)
    check_client(core, account)
    reject_unless(tier in core.tiers, Reason.UNKNOWN_TIER)
    event = core._emit(EVENT_KIND_ACCOUNT_LIMITS_CHANGED, blob)
    event.account = account
    event.state = tier_number(core, tier)
    core.account_tiers[account] = event.state


cdef Holding* balance_of(Core core, uint32_t account, uint32_t asset) except NULL:
    """What an account has of an asset, which is nothing to begin with."""
    cdef Holding* holding = find_holding(&core.exchange.accounts[account], asset)
    if holding == NULL:
        raise MemoryError("no room for one more balance")
    return holding


cdef deposit(Core core, uint32_t account, uint32_t asset, int64_t amount, bytes blob):
    """Pays an amount in."""
    read_change(blob)
    check_client(core, account)
    reject_unless(0 < asset <= len(core.assets), Reason.UNKNOWN_ASSET)
    record = core.assets[asset - 1]
    reject_unless(amount > 0 and record[2] + amount <= AMOUNT_MAX, Reason.INVALID_AMOUNT)
    record[2] += amount
    balance_of(core, account, asset).available += amount
    emit_transfer(core, EVENT_KIND_DEPOSITED, account, asset, amount, blob)


cdef withdraw(Core core, uint32_t account, uint32_t asset, int64_t amount, bytes blob):
    """Pays an amount out of what is available."""
    cdef Holding* holding
    read_change(blob)
    check_client(core, account)
    reject_unless(not core.exchange.accounts[account].frozen, Reason.ACCOUNT_FROZEN)
    reject_unless(0 < asset <= len(core.assets), Reason.UNKNOWN_ASSET)
    reject_unless(amount > 0, Reason.INVALID_AMOUNT)
    holding = balance_of(core, account, asset)
    reject_unless(holding.available >= amount, Reason.INSUFFICIENT_FUNDS)
    holding.available -= amount
    core.assets[asset - 1][2] -= amount
    emit_transfer(core, EVENT_KIND_WITHDRAWN, account, asset, amount, blob)


cdef emit_transfer(Core core, int kind, uint32_t account, uint32_t asset, int64_t amount, bytes blob):
    """DEPOSITED or WITHDRAWN."""
    cdef OrderEvent* event = core._emit(kind, blob)
    event.account = account
    event.asset = <uint16_t>asset
    event.amount = amount
