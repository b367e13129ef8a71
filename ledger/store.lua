#!lua name=jibek_ledger
-- The server-side function of the ledger. Nothing else writes these keys:
--
--   {jibek}:ledger:cursor     string  <id> <part> <parts> <head>: the last entry that is wholly in, how many parts of the
--                                     next one are in and of how many (0 0 between entries), the chain's head in hex
--   {jibek}:ledger:balances   hash    owner and asset -> their packed counters
--   {jibek}:ledger:transfers  stream  <id of the entry> · t: all its transfers, packed; none for an entry that moved nothing
--   {jibek}:ledger:index:…    string  ids of the entries that touched an owner, 16 bytes each
--
-- Counters and transfers are bytes that pass through untouched: no function does arithmetic on money, whose numbers a
-- double cannot hold. Functions do not roll back, so everything that could fail is checked before the first write.

-- Most writes of one call: while it runs, the journal waits.
local WRITES_MAX = 500

-- settle(KEYS cursor balances transfers index…,
--        ARGV old new #transfers #balances, (id transfers)…, (field counters)…, (line for each index key)…)
--        -> new
-- Writes what one or several entries, or one part of a large entry, leave behind, and moves the cursor from `old` (empty
-- for a new ledger) to `new`. Refused with CURSORMOVED, and nothing written, unless the cursor is at `old`: so each part of
-- each entry is written exactly once, whoever sends it and however often.
local function settle(keys, args)
    local transfers, balances = tonumber(args[3]), tonumber(args[4])
    local indexes = #keys - 3
    if indexes < 0 or not (transfers and balances) or #args ~= 4 + 2 * (transfers + balances) + indexes then
        return redis.error_reply('ARGUMENTS settle takes 3 keys and one for each index line, and arguments as counted')
    end
    if transfers + balances + indexes > WRITES_MAX then
        return redis.error_reply('TOOMANY settle writes at most ' .. WRITES_MAX .. ' fields, entries and lines a call')
    end
    local cursor = redis.call('GET', keys[1]) or ''
    if cursor ~= args[1] then
        return redis.error_reply('CURSORMOVED the ledger stands at ' .. cursor)
    end
    -- A key of another type refuses its reading command here, before anything is written.
    redis.call('HLEN', keys[2])
    redis.call('XLEN', keys[3])
    for key = 4, #keys do
        redis.call('STRLEN', keys[key])
    end

    -- The stream goes first: it refuses an id that is not above its last one, and then nothing is written either.
    local position = 5
    for _ = 1, transfers do
        redis.call('XADD', keys[3], args[position], 't', args[position + 1])
        position = position + 2
    end
    if balances > 0 then
        redis.call('HSET', keys[2], unpack(args, position, position + 2 * balances - 1))
        position = position + 2 * balances
    end
    for index = 1, indexes do
        redis.call('APPEND', keys[3 + index], args[position])
        position = position + 1
    end
    redis.call('SET', keys[1], args[2])
    return args[2]
end

redis.register_function { function_name = 'jibek_settle', callback = settle, flags = { 'allow-oom' } }
