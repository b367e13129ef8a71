#!lua name=jibek_journal
-- The server-side functions of the journal and the events. Nothing else writes these keys:
--
--   {jibek}:epoch        string  the epoch in force, a decimal number
--   {jibek}:journal      stream  <epoch>-<sequence> · t: stamp of the store in microseconds · c: the same · b: batch
--   {jibek}:producers    hash    producer -> '<incarnation> <number> <id>' of its last batch
--   {jibek}:incarnation  string  the last incarnation that was drawn, by whichever producer
--   {jibek}:events       stream  the same ids · h: head of the hash chain · d: digest of the journal entry · b: event entry
--   {jibek}:published    string  id of the last event entry
--   {jibek}:used:<tag>   string  the method for which a signature was accepted; expires when the signature does
--
-- The bytes of batches and events pass through untouched; no function does arithmetic on them. Functions do not roll
-- back, so each checks everything before its first write. Numbers of batches and incarnations stay below 2^53.

local function stamp()
    local time = redis.call('TIME')
    return string.format('%s%06d', time[1], time[2])
end

-- Adds a batch to the journal. The batch has its own CRC-32; its stamp is written twice, because one that changes before the
-- chain covers it would be believed: the core takes every stamp that is later than the one before.
local function add(journal, id, batch)
    local time = stamp()
    return redis.call('XADD', journal, id, 't', time, 'c', time, 'b', batch)
end

-- The parts of a producer's entry; zeros for one that was never opened, nothing for one that was changed.
local function parts_of(entry)
    if not entry then
        return '0', '0', '0-0'
    end
    return string.match(entry, '^(%d+) (%d+) (%S+)$')
end

local function unreadable(entry)
    return redis.error_reply('BADPRODUCER the table of producers was changed: no producer has ' .. entry)
end

-- Why a batch is not the next one of its producer.
local function refusal(entry, incarnation, number)
    local last_incarnation, last_number, last_id = parts_of(entry)
    if not last_id then
        return unreadable(entry)
    end
    if tonumber(incarnation) ~= tonumber(last_incarnation) then
        return redis.error_reply('STALE ' .. last_incarnation)
    end
    local sent = tonumber(number)
    if sent and sent <= tonumber(last_number) then
        return redis.error_reply('THERE ' .. last_id)
    end
    return redis.error_reply('GAP ' .. last_number)
end

-- Whether '<incarnation> <number>' follows the entry. Compared as text, and only in the form in which it is kept: `1e0` or
-- ` 1` in the table would be read by nobody, and its producer could never open again.
local function is_next(entry, incarnation, number)
    local sent = tonumber(number) or 0
    local before = string.format('%s %.0f ', incarnation, sent - 1)
    return entry and string.sub(entry, 1, #before) == before and string.format('%.0f', sent) == number
end

-- The places of the marks, KEYS[4] on, that are there already or come twice; the first is 0.
local function used_marks(keys)
    local is_any_there = redis.call('EXISTS', unpack(keys, 4)) > 0
    local used, seen = {}, {}
    for place = 4, #keys do
        local mark = keys[place]
        if seen[mark] or (is_any_there and redis.call('EXISTS', mark) == 1) then
            used[#used + 1] = place - 4
        end
        seen[mark] = true
    end
    return used
end

-- append(KEYS epoch journal producers [mark]…, ARGV epoch producer incarnation number batch [method lifetime]…) -> id
-- Adds a batch under the next id of the epoch, where it is the next one of its producer, and with it the mark of each
-- signature in it: for which method it was used, for so many milliseconds. Else nothing is written:
--   STALEEPOCH <epoch>   another epoch is in force
--   STALE <incarnation>  the producer was opened again under this incarnation (0: never)
--   THERE <last id>      this number or a later one is in already; the id is that of the producer's last batch
--   GAP <last number>    the number is not the next one
--   USED <place>…        these marks were there already, or come twice; the first mark is 0
local function append(keys, args)
    if #keys < 3 or #args ~= 2 * #keys - 1 then
        return redis.error_reply('ARGUMENTS append takes 3 keys and 5 arguments, and 1 and 2 more for each mark')
    end
    local epoch = redis.call('GET', keys[1])
    if epoch ~= args[1] then
        return redis.error_reply('STALEEPOCH ' .. (epoch or '0'))
    end
    local entry = redis.call('HGET', keys[3], args[2])
    if not is_next(entry, args[3], args[4]) then
        return refusal(entry, args[3], args[4])
    end
    if #keys > 3 then
        local used = used_marks(keys)
        if #used > 0 then
            return redis.error_reply('USED ' .. table.concat(used, ' '))
        end
        for place = 4, #keys do
            redis.call('SET', keys[place], args[2 * place - 2], 'PX', args[2 * place - 1])
        end
    end
    local id = add(keys[2], epoch .. '-*', args[5])
    redis.call('HSET', keys[3], args[2], args[3] .. ' ' .. args[4] .. ' ' .. id)
    return id
end

redis.register_function { function_name = 'jibek_append', callback = append }

-- How much the store may hold beyond its memory limit: a part of the limit, but at least so many bytes.
local RESERVE_PART, RESERVE_BYTES_MIN = 16, 1024 * 1024

-- Whether the reserve is used up, too. Cost: 8 µs.
local function is_reserve_used_up()
    local memory = redis.call('INFO', 'memory')
    local used = tonumber(string.match(memory, 'used_memory:(%d+)'))
    local largest = tonumber(string.match(memory, 'maxmemory:(%d+)'))
    return largest > 0 and used > largest + math.max(largest / RESERVE_PART, RESERVE_BYTES_MIN)
end

-- The same for batches that must pass a full store: cancels of orders that are known to be open, halts, freezes, deposits,
-- withdrawals and ticks. So a full store can still shrink, and an operator can act; but only into the reserve, beyond which
-- it is refused with OOM like any other append.
local function append_reducing(keys, args)
    if is_reserve_used_up() then
        return redis.error_reply('OOM the reserve beyond maxmemory is used up')
    end
    return append(keys, args)
end

redis.register_function { function_name = 'jibek_append_reducing', callback = append_reducing, flags = { 'allow-oom' } }

-- mark_used(KEYS mark, ARGV method lifetime) -> nothing, or the method for which the signature was used before
-- Sets the mark of a signature under which nothing is journalled, for so many milliseconds. It may be called when the store
-- is at its memory limit: who cannot log on could not cancel either, and what it adds is gone within about a minute.
local function mark_used(keys, args)
    if #keys ~= 1 or #args ~= 2 then
        return redis.error_reply('ARGUMENTS mark_used takes 1 key and 2 arguments')
    end
    return redis.call('SET', keys[1], args[1], 'NX', 'GET', 'PX', args[2])
end

redis.register_function { function_name = 'jibek_mark_used', callback = mark_used, flags = { 'allow-oom' } }

-- open_producer(KEYS producers incarnation, ARGV producer) -> {incarnation, old incarnation, last number, last id}
-- Draws a new incarnation for a producer. From then on every copy of an older batch of it is refused, so what does not
-- stand in the journal by now, up to `last number` of the old incarnation, never will. It may be called when the store is
-- at its memory limit: a producer that cannot open could not cancel either.
local function open_producer(keys, args)
    if #keys ~= 2 or #args ~= 1 then
        return redis.error_reply('ARGUMENTS open_producer takes 2 keys and 1 argument')
    end
    local entry = redis.call('HGET', keys[1], args[1])
    local last_incarnation, last_number, last_id = parts_of(entry)
    if not last_id then
        return unreadable(entry)
    end
    local incarnation = string.format('%.0f', redis.call('INCR', keys[2]))
    redis.call('HSET', keys[1], args[1], incarnation .. ' 0 ' .. last_id)
    return { incarnation, last_incarnation, last_number, last_id }
end

redis.register_function { function_name = 'jibek_open_producer', callback = open_producer, flags = { 'allow-oom' } }

-- advance_epoch(KEYS epoch journal producers incarnation, ARGV old new record last producer incarnation number) -> id
-- Moves the epoch from `old` (0 for a new venue) to `new` and writes the epoch-start entry <new>-0. `last` is the id of
-- the last journal entry that the record names (0-0 for a new venue). The record is a batch of its producer like any
-- other; that of a new venue is the first one, incarnation 1, number 1, and begins the table of producers.
local function advance_epoch(keys, args)
    if #keys ~= 4 or #args ~= 7 then
        return redis.error_reply('ARGUMENTS advance_epoch takes 4 keys and 7 arguments')
    end
    local epoch = redis.call('GET', keys[1]) or '0'
    if epoch ~= args[1] or tonumber(args[2]) <= tonumber(epoch) then
        return redis.error_reply('STALEEPOCH ' .. epoch)
    end
    local last = redis.call('XREVRANGE', keys[2], '+', '-', 'COUNT', 1)
    local last_id = last[1] and last[1][1] or '0-0'
    if last_id ~= args[4] then
        return redis.error_reply('NOTLAST the last journal entry is ' .. last_id)
    end
    local is_new = epoch == '0'
    local entry = is_new and '1 0 0-0' or redis.call('HGET', keys[3], args[5])
    if not is_next(entry, args[6], args[7]) then
        return refusal(entry, args[6], args[7])
    end
    if is_new then
        redis.call('SETNX', keys[4], '1')
    end
    redis.call('SET', keys[1], args[2])
    local id = add(keys[2], args[2] .. '-0', args[3])
    redis.call('HSET', keys[3], args[5], args[6] .. ' ' .. args[7] .. ' ' .. id)
    return id
end

redis.register_function { function_name = 'jibek_advance_epoch', callback = advance_epoch, flags = { 'allow-oom' } }

-- publish(KEYS events published, ARGV previous id head digest bytes) -> 'published' | 'exists' | 'diverged' | 'unknown'
-- Adds event entry `id` only if the last one is `previous`. If `id` is there already the heads decide: equal means that
-- another engine was first with the same bytes ('exists'), unequal that two engines disagree ('diverged': everybody
-- stops). 'unknown' means that the entry is neither next nor there: it was trimmed, the caller missed one, or the stream
-- has a later entry that no engine published, behind which the store takes none.
local function publish(keys, args)
    if #keys ~= 2 or #args ~= 5 then
        return redis.error_reply('ARGUMENTS publish takes 2 keys and 5 arguments')
    end
    local last = redis.call('GET', keys[2]) or '0-0'
    if last == args[1] then
        local added = redis.pcall('XADD', keys[1], args[2], 'h', args[3], 'd', args[4], 'b', args[5])
        if added.err then
            return 'unknown'
        end
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
