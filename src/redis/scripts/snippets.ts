/** Milliseconds by the clock of Redis: leases must not depend on whose clock is right. */
export const now = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/**
 * A Redis at its maxmemory refuses commands that need memory, but not within a script that has written already. Scripts
 * that let messages leave Redis begin with a removal of nothing.
 */
export const evenIfFull = (key: string) => `redis.call('ZREM', ${key}, '')`;
