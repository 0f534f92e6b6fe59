import { evenIfFull, now } from './snippets.ts';

/** KEYS of a session: meta, count, history, pending_msgs. */
const session = 'local meta, count, history, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]';

const readSession = `
local fields = redis.call('HGETALL', meta)
local questions = redis.call('GET', count)
if #fields == 0 or not questions then return false end`;

/**
 * Whether messages may be taken: how much waits for the database, and how many the user has sent in this minute. Needs
 * dirty and bytes of the index as KEYS[5] and KEYS[6].
 */
const admit = `    if redis.call('INCRBY', KEYS[6], added) > tonumber(ARGV[8]) then
      redis.call('DECRBY', KEYS[6], added)
      return 'too-much-pending'
    end
    if perUser > 0 then
      local key = '{sessions}:sent:' .. have[8]
      local sent = redis.call('INCRBY', key, fresh)
      if sent == fresh then redis.call('PEXPIRE', key, 60000) end
      if sent > perUser then
        redis.call('DECRBY', key, fresh)
        redis.call('DECRBY', KEYS[6], added)
        return {'limited', 'user', redis.call('PTTL', key)}
      end
    end`;

/**
 * The session is dirty; KEYS[5] is the index, unless that is in another slot. The last argument is the session's id.
 */
const markHere = `if KEYS[5] then redis.call('ZADD', KEYS[5], 'NX', now, ARGV[#ARGV]) end`;

/** What happens to one session. */
export const sessionScripts = {
  /**
   * ARGV: TTL, or 0 if the database does not have the session yet; number of fields, and the fields. Returns the
   * session that is there, or false.
   */
  afterwordCreate: {
    lua: `${session}
${now}
if redis.call('EXISTS', meta) == 1 and redis.call('EXISTS', count) == 1 then
  return {redis.call('HGETALL', meta), redis.call('GET', count)}
end
redis.call('DEL', meta, history)
redis.call('HSET', meta, unpack(ARGV, 3, 2 + tonumber(ARGV[2])))
redis.call('HSET', meta, 'active', now)
redis.call('SET', count, 0)
if ARGV[1] == '0' then
  ${markHere}
else
  for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
end
return false`,
  },

  /** ARGV: TTL, questions, number of fields, the fields, then the history. */
  afterwordLoad: {
    numberOfKeys: 4,
    lua: `${session}
if redis.call('EXISTS', meta) == 1 and redis.call('EXISTS', count) == 1 then return 0 end
local fields = tonumber(ARGV[3])
redis.call('DEL', meta, history)
redis.call('HSET', meta, unpack(ARGV, 4, 3 + fields))
redis.call('SET', count, ARGV[2])
if #ARGV > 3 + fields then redis.call('RPUSH', history, unpack(ARGV, 4 + fields)) end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
return 1`,
  },

  /**
   * KEYS: those of the session; dirty and bytes of the index, unless that is in another slot; one per message. ARGV:
   * whether the index is here, most messages and bytes of a session, whether the database was asked, length of the
   * history, messages per minute of a session and of a user, most bytes pending in all; then id, whether it is named,
   * role, time and text of each message.
   */
  afterwordAppend: {
    lua: `${session}
${now}
local hasIndex = ARGV[1] == '1'
local first = hasIndex and 7 or 5
local have = redis.call('HMGET', meta, 'state', 'last', 'messages', 'bytes', 'forgets_at', 'minute', 'in_minute',
  'user', 'expires')
local questions = redis.call('GET', count)
if not have[1] or not questions then return 'missing' end
questions = tonumber(questions)
local last, messages, bytes = tonumber(have[2]), tonumber(have[3]), tonumber(have[4])
local answers, fresh, added, asks = {}, 0, 0, false
for i = first, #KEYS do
  local n = i - first + 1
  local at = 9 + (n - 1) * 5
  local known = redis.call('GET', KEYS[i])
  if known then
    local position, upTo = string.match(known, '^(%d+)\\n(%d+)\\n')
    answers[n] = {tonumber(position), tonumber(upTo), 1}
  else
    fresh = fresh + 1
    added = added + #ARGV[at + 4]
    if ARGV[at + 1] == '1' then asks = true end
  end
end
if fresh > 0 then
  if have[1] ~= 'open' then return 'ended' end
  if asks and ARGV[4] == '0' and have[5] and now >= tonumber(have[5]) then return 'ask' end
  if messages + fresh > tonumber(ARGV[2]) or bytes + added > tonumber(ARGV[3]) then return 'full' end
  local minute = math.floor(now / 60000)
  local inMinute = fresh
  if tonumber(have[6] or 0) == minute then inMinute = fresh + tonumber(have[7]) end
  local perSession, perUser = tonumber(ARGV[6]), tonumber(ARGV[7])
  if perSession > 0 and inMinute > perSession then return {'limited', 'session', 60000 - now % 60000} end
  if hasIndex then
${admit}
    redis.call('ZADD', KEYS[5], 'NX', now, string.match(meta, '{(.*)}'))
  end
  for i = first, #KEYS do
    local n = i - first + 1
    if not answers[n] then
      local at = 9 + (n - 1) * 5
      last = last + 1
      if ARGV[at + 2] == 'user' then questions = questions + 1 end
      local value = table.concat({last, questions, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]}, '\\n')
      redis.call('SET', KEYS[i], value)
      redis.call('ZADD', pending, last, ARGV[at])
      local length = redis.call('RPUSH', history, ARGV[at] .. '\\n' .. value)
      if length > tonumber(ARGV[5]) then redis.call('LPOP', history) end
      answers[n] = {last, questions, 0}
    end
  end
  redis.call('SET', count, questions)
  redis.call('HSET', meta, 'last', last, 'messages', messages + fresh, 'bytes', bytes + added, 'active', now,
    'minute', minute, 'in_minute', inMinute, 'expires', 0)
  if have[9] ~= '0' then
    redis.call('PERSIST', meta)
    redis.call('PERSIST', history)
  end
end
return {redis.call('ZCARD', pending), answers}`,
  },

  /** The session, its history, and how many messages are pending; or false. */
  afterwordView: {
    numberOfKeys: 4,
    readOnly: true,
    lua: `${session}
${readSession}
return {fields, questions, redis.call('LRANGE', history, 0, -1), redis.call('ZCARD', pending)}`,
  },

  /** ARGV: prefix of message keys, lowest position, limit. The session, and its pending messages from there. */
  afterwordPending: {
    numberOfKeys: 4,
    readOnly: true,
    lua: `${session}
${readSession}
local ids = redis.call('ZRANGEBYSCORE', pending, ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
local values = {}
for i, id in ipairs(ids) do values[i] = redis.call('GET', ARGV[1] .. id) or '' end
return {fields, questions, ids, values}`,
  },

  /** ARGV: prefix of message keys, TTL, ids that were committed. Returns how many are left, and bytes freed. */
  afterwordSynced: {
    numberOfKeys: 4,
    lua: `${session}
${now}
${evenIfFull('pending')}
local freed = 0
for i = 3, #ARGV do
  if redis.call('ZREM', pending, ARGV[i]) == 1 then
    local key = ARGV[1] .. ARGV[i]
    local value = redis.call('GET', key) or ''
    local _, head = string.find(value, '^[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n[^\\n]*\\n')
    freed = freed + #value - (head or #value)
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
local forgets, sooner = redis.call('HGET', meta, 'forgets_at'), now + tonumber(ARGV[2])
if redis.call('EXISTS', meta) == 1 and (not forgets or sooner < tonumber(forgets)) then
  redis.call('HSET', meta, 'forgets_at', sooner)
end
local left = redis.call('ZCARD', pending)
if left == 0 and redis.call('EXISTS', meta) == 1 then
  redis.call('HSET', meta, 'expires', 1)
  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return {left, freed}`,
  },

  /**
   * ARGV: the end as JSON, for how many milliseconds the session must have been idle, or 0, and the session's id. A
   * session from the database has its clock, which may be ahead of this one.
   */
  afterwordClose: {
    lua: `${session}
${now}
${evenIfFull('pending')}
local have = redis.call('HMGET', meta, 'state', 'end', 'active')
if not have[1] or redis.call('EXISTS', count) == 0 then return false end
if have[1] ~= 'open' and have[2] then return {'closed', have[2]} end
local idle = tonumber(ARGV[2])
if idle > 0 and now - tonumber(have[3]) < idle then return {'active'} end
redis.call('HSET', meta, 'state', 'ending', 'end', ARGV[1], 'expires', 0)
for i = 1, 3 do redis.call('PERSIST', KEYS[i]) end
${markHere}
return {'closed', ARGV[1]}`,
  },

  /** ARGV: the state. */
  afterwordState: {
    numberOfKeys: 4,
    lua: `${session}
${evenIfFull('pending')}
if redis.call('EXISTS', meta) == 0 then return 0 end
redis.call('HSET', meta, 'state', ARGV[1])
if ARGV[1] == 'open' then redis.call('HDEL', meta, 'end') end
return 1`,
  },

  /** ARGV: prefix of message keys, ids whose answers have changed. Returns 0 if something is pending. */
  afterwordForget: {
    numberOfKeys: 4,
    lua: `${session}
for i = 2, #ARGV do
  if not redis.call('ZSCORE', pending, ARGV[i]) then redis.call('DEL', ARGV[1] .. ARGV[i]) end
end
if redis.call('ZCARD', pending) > 0 then return 0 end
redis.call('DEL', meta, count, history)
return 1`,
  },
} as const;
