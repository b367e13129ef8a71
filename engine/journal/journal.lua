#!lua name=jibek_journal
-- The server-side functions of the journal and the events. Nothing else writes these keys:
--
--   {jibek}:epoch      string  the epoch in force, a decimal number
--   {jibek}:journal    stream  <epoch>-<sequence> · t: stamp of the store in microseconds · b: batch
--   {jibek}:events     stream  the same ids · h: head of the hash chain · d: digest of the journal entry · b: event entry
--   {jibek}:published  string  id of the last event entry
--
-- The bytes of batches and events pass through untouched; no function does arithmetic on them. Functions do not roll
-- back, so each checks everything before its first write.

local function stamp()
    local time = redis.call('TIME')
    return string.format('%s%06d', time[1], time[2])
end

-- append(KEYS epoch journal, ARGV epoch batch) -> id
-- Adds a batch under the next id of the epoch. Refused with STALEEPOCH unless ARGV[1] is the epoch in force.
local function append(keys, args)
    if #keys ~= 2 or #args ~= 2 then
        return redis.error_reply('ARGUMENTS append takes 2 keys and 2 arguments')
    end
    local epoch = redis.call('GET', keys[1])
    if epoch ~= args[1] then
        return redis.error_reply('STALEEPOCH the epoch in force is ' .. tostring(epoch))
    end
    return redis.call('XADD', keys[2], epoch .. '-*', 't', stamp(), 'b', args[2])
end

redis.register_function { function_name = 'jibek_append', callback = append }

-- The same for batches that only reduce what the venue holds (cancels, ticks, halts, operator commands): it may be
-- called when the store is at its memory limit, so a full store can still shrink.
redis.register_function { function_name = 'jibek_append_reducing', callback = append, flags = { 'allow-oom' } }

-- advance_epoch(KEYS epoch journal, ARGV old new record last) -> id
-- Moves the epoch from `old` (0 for a new venue) to `new` and writes the epoch-start entry <new>-0. `last` is the id of
-- the last journal entry that the record names (0-0 for a new venue).
local function advance_epoch(keys, args)
    if #keys ~= 2 or #args ~= 4 then
        return redis.error_reply('ARGUMENTS advance_epoch takes 2 keys and 4 arguments')
    end
    local epoch = redis.call('GET', keys[1]) or '0'
    if epoch ~= args[1] or tonumber(args[2]) <= tonumber(epoch) then
        return redis.error_reply('STALEEPOCH the epoch in force is ' .. epoch)
    end
    local last = redis.call('XREVRANGE', keys[2], '+', '-', 'COUNT', 1)
    local last_id = last[1] and last[1][1] or '0-0'
    if last_id ~= args[4] then
        return redis.error_reply('NOTLAST the last journal entry is ' .. last_id)
    end
    redis.call('SET', keys[1], args[2])
    return redis.call('XADD', keys[2], args[2] .. '-0', 't', stamp(), 'b', args[3])
end

redis.register_function { function_name = 'jibek_advance_epoch', callback = advance_epoch }

-- publish(KEYS events published, ARGV previous id head digest bytes) -> 'published' | 'exists' | 'diverged' | 'unknown'
-- Adds event entry `id` only if the last one is `previous`. If `id` is there already the heads decide: equal means that
-- another engine was first with the same bytes ('exists'), unequal that two engines disagree ('diverged': everybody
-- stops). 'unknown' means that the entry is neither next nor there: it was trimmed, or the caller missed one.
local function publish(keys, args)
    if #keys ~= 2 or #args ~= 5 then
        return redis.error_reply('ARGUMENTS publish takes 2 keys and 5 arguments')
    end
    local last = redis.call('GET', keys[2]) or '0-0'
    if last == args[1] then
        redis.call('XADD', keys[1], args[2], 'h', args[3], 'd', args[4], 'b', args[5])
        redis.call('SET', keys[2], args[2])
        return 'published'
    end
    local found = redis.call('XRANGE', keys[1], args[2], args[2])
    if not found[1] then
        return 'unknown'
    end
    if found[1][2][2] == args[3] then
        return 'exists'
    end
    return 'diverged'
end

redis.register_function { function_name = 'jibek_publish', callback = publish, flags = { 'allow-oom' } }
