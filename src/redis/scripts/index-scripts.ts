import { evenIfFull, now } from './snippets.ts';

/** What is true of all sessions: which have something to sync, who is at it, and how much it is. */
export const indexScripts = {
  /** KEYS: dirty. ARGV: session. */
  afterwordMark: {
    numberOfKeys: 1,
    lua: `${now}
${evenIfFull('KEYS[1]')}
return redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])`,
  },

  /**
   * In a cluster, before messages are taken. KEYS: dirty, bytes, and what the user has sent in this minute. ARGV:
   * session, bytes, messages, messages per minute of a user, most bytes pending in all.
   */
  afterwordAdmit: {
    numberOfKeys: 3,
    lua: `${now}
if tonumber(redis.call('GET', KEYS[2]) or 0) + tonumber(ARGV[2]) > tonumber(ARGV[5]) then return 'too-much-pending' end
local before = tonumber(redis.call('GET', KEYS[3]) or 0)
if tonumber(ARGV[4]) > 0 then
  if before + tonumber(ARGV[3]) > tonumber(ARGV[4]) then return {'limited', 'user', redis.call('PTTL', KEYS[3])} end
  redis.call('INCRBY', KEYS[3], ARGV[3])
  if before == 0 then redis.call('PEXPIRE', KEYS[3], 60000) end
end
redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
redis.call('INCRBY', KEYS[2], ARGV[2])
return false`,
  },

  /**
   * KEYS: dirty, leased, tokens, fence. ARGV: for how many milliseconds a session must have been dirty; limit;
   * milliseconds of the lease. Returns the fencing token, then sessions and since when they were dirty. Leases that
   * have run out are given to others.
   */
  afterwordClaim: {
    numberOfKeys: 4,
    lua: `${now}
local dirty, leased, tokens, fence = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
${evenIfFull('dirty')}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', leased, id)
  redis.call('ZADD', dirty, 'NX', now, id)
  redis.call('ZADD', dirty, 'LT', now - tonumber(ARGV[3]), id)
end
local found = redis.call('ZRANGEBYSCORE', dirty, '-inf', now - tonumber(ARGV[1]), 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local claimed = {}
if #found > 0 then
  local token = math.max(tonumber(redis.call('GET', fence) or '0') + 1, time[1] * 1000000 + time[2])
  token = string.format('%.0f', token)
  redis.call('SET', fence, token)
  claimed[1] = token
  for i = 1, #found, 2 do
    if not redis.call('ZSCORE', leased, found[i]) then
      redis.call('ZREM', dirty, found[i])
      redis.call('ZADD', leased, now + tonumber(ARGV[3]), found[i])
      redis.call('HSET', tokens, found[i], token)
      claimed[#claimed + 1] = found[i]
      claimed[#claimed + 1] = found[i + 1]
    end
  end
end
return claimed`,
  },

  /** KEYS: dirty, leased, tokens, bytes. ARGV: session, token, bytes freed, since when it is dirty again or nothing. */
  afterwordRelease: {
    numberOfKeys: 4,
    lua: `local dirty, leased, tokens, bytes = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
${evenIfFull('dirty')}
if redis.call('HGET', tokens, ARGV[1]) == ARGV[2] then
  redis.call('HDEL', tokens, ARGV[1])
  redis.call('ZREM', leased, ARGV[1])
end
if ARGV[4] ~= '' then
  redis.call('ZADD', dirty, 'NX', ARGV[4], ARGV[1])
  redis.call('ZADD', dirty, 'LT', ARGV[4], ARGV[1])
end
if redis.call('DECRBY', bytes, ARGV[3]) <= 0
  or (redis.call('ZCARD', dirty) == 0 and redis.call('ZCARD', leased) == 0) then redis.call('DEL', bytes) end
return 1`,
  },

  /** KEYS: fence. ARGV: a token that the database has seen; the next one is higher. */
  afterwordRaiseFence: {
    numberOfKeys: 1,
    lua: `local now = tonumber(redis.call('GET', KEYS[1]) or '0')
if now < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1`,
  },

  /** KEYS: dirty, leased, bytes. Sessions and bytes that are pending, and since when. */
  afterwordBacklog: {
    numberOfKeys: 3,
    readOnly: true,
    lua: `local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local waiting = redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', KEYS[2])
return {waiting, tonumber(redis.call('GET', KEYS[3]) or '0'), oldest[2] or ''}`,
  },
} as const;
