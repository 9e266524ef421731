/**
 * What the server does in one piece, in Lua. Its clock alone decides whether a lease holds. All scripts have the keys of
 * `runKeys`, and for their first arguments the run's id and the caller's session; they reply "gone" where the server
 * no longer knows that run, and "lost" where the session's lease has ended: nothing is changed then.
 */
const fenced = `
local record, sessions, ready, workers, owners, log, digests, saved = unpack(KEYS)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local run, me = ARGV[1], ARGV[2]
local function alive(session)
  if not session then return false end
  local ends = redis.call('ZSCORE', sessions, session)
  return ends and tonumber(ends) > now
end
local function forget(session)
  redis.call('ZREM', sessions, session)
  redis.call('ZREM', ready, session)
  redis.call('HDEL', workers, session)
end
if redis.call('HGET', record, 'id') ~= run then return 'gone' end
`;

const leased = `${fenced}
if not alive(me) then forget(me) return 'lost' end
`;

/** Names of a run's keys, in the order that the scripts expect. One hash tag keeps them on one node of a cluster. */
export const runKeys = (run: string): readonly string[] =>
  ["record", "sessions", "ready", "workers", "owners", "log", "digests", "saved"].map(
    (name) => `${keyPrefix}{${run}}:${name}`,
  );

export const keyPrefix = "clp-dd:";

/** Seconds for which the server remembers a run that nobody works on. */
const rememberSeconds = 7 * 24 * 3600;

export const scripts = {
  /** The record's fields and values, made of the arguments behind the session where there is none. */
  open: `
    if redis.call('EXISTS', KEYS[1]) == 0 then
      redis.call('DEL', unpack(KEYS))
      redis.call('HSET', KEYS[1], unpack(ARGV, 3))
      redis.call('EXPIRE', KEYS[1], ${rememberSeconds})
    end
    return redis.call('HGETALL', KEYS[1])`,

  /** Removes a run that has ended, or that nobody works on. */
  remove: `${fenced}
    if redis.call('HGET', record, 'state') ~= 'finished' and redis.call('ZCOUNT', sessions, now, '+inf') > 0 then
      return 'busy'
    end
    redis.call('DEL', unpack(KEYS))
    return 'ok'`,

  /** Begins a session: lease in milliseconds, status, the session of this worker that it replaces. */
  begin: `${fenced}
    if ARGV[5] ~= '' then forget(ARGV[5]) end
    redis.call('ZADD', sessions, now + tonumber(ARGV[3]), me)
    redis.call('HSET', workers, me, ARGV[4])
    return 'ok'`,

  /** Renews a session: lease in milliseconds, status, whether it is ready. Replies with what is known of the run. */
  renew: `${leased}
    local ends = now + tonumber(ARGV[3])
    redis.call('ZADD', sessions, ends, me)
    redis.call('HSET', workers, me, ARGV[4])
    if ARGV[5] == '1' then redis.call('ZADD', ready, ends, me) end
    for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ${rememberSeconds}) end
    for _, dead in ipairs(redis.call('ZRANGEBYSCORE', sessions, '-inf', '(' .. now, 'LIMIT', 0, 100)) do forget(dead) end
    return { redis.call('ZCOUNT', sessions, now, '+inf'), redis.call('ZCOUNT', ready, now, '+inf'),
      tonumber(redis.call('HGET', record, 'generation')) }`,

  /** Ends a session, and with it all its leases. */
  leave: `${fenced}
    forget(me)
    return 'ok'`,

  /** Takes up to so many of the shards named behind that nobody has; replies with those taken. */
  claim: `${leased}
    local taken = {}
    for i = 4, #ARGV do
      if #taken >= tonumber(ARGV[3]) then break end
      local owner = redis.call('HGET', owners, ARGV[i])
      if owner ~= me and not alive(owner) then
        redis.call('HSET', owners, ARGV[i], me)
        taken[#taken + 1] = tonumber(ARGV[i])
      end
    end
    return taken`,

  /** Gives shards back. */
  release: `${leased}
    for i = 3, #ARGV do
      if redis.call('HGET', owners, ARGV[i]) == me then redis.call('HDEL', owners, ARGV[i]) end
    end
    return 'ok'`,

  /** Whether all the shards named are still the caller's. */
  owned: `${leased}
    for i = 3, #ARGV do
      if redis.call('HGET', owners, ARGV[i]) ~= me then return 'lost' end
    end
    return 'ok'`,

  /**
   * Adds features to the log: step, levels, due, step of the digest, digest, bytes, shards. Replies with the id of the
   * entry, "lost" where one of the shards is another's, or who has found another digest.
   */
  publish: `${leased}
    for i = 9, #ARGV do
      if redis.call('HGET', owners, ARGV[i]) ~= me then return 'lost' end
    end
    if ARGV[6] ~= '' then
      local known = redis.call('HGET', digests, ARGV[6])
      if known and string.sub(known, 1, #ARGV[7]) ~= ARGV[7] then return { string.sub(known, #ARGV[7] + 2) } end
      if not known then redis.call('HSET', digests, ARGV[6], ARGV[7] .. ' ' .. (redis.call('HGET', workers, me) or '')) end
    end
    return redis.call('XADD', log, '*', 's', ARGV[3], 'l', ARGV[4], 'd', ARGV[5], 'b', ARGV[8],
      'k', table.concat(ARGV, ',', 9))`,

  /**
   * Notes parts of a generation that are saved: its step, the parts. Replies with how many there are; -1 once all of it
   * is, and has been noted as whole.
   */
  saved: `${leased}
    if tonumber(redis.call('HGET', record, 'generation')) >= tonumber(ARGV[3]) then return -1 end
    for i = 4, #ARGV do
      if redis.call('HSETNX', saved, ARGV[3] .. '/' .. ARGV[i], 1) == 1 then redis.call('HINCRBY', saved, ARGV[3] .. '/count', 1) end
    end
    return tonumber(redis.call('HGET', saved, ARGV[3] .. '/count') or 0)`,

  /** Notes a whole generation: its step, the first id of the log that is still needed, the first step that is. */
  commit: `${leased}
    local known = tonumber(redis.call('HGET', record, 'generation'))
    if known >= tonumber(ARGV[3]) then return 'ok' end
    redis.call('HSET', record, 'generation', ARGV[3])
    if ARGV[4] ~= '' then redis.call('XTRIM', log, 'MINID', ARGV[4]) end
    for _, step in ipairs(redis.call('HKEYS', digests)) do
      if tonumber(step) < tonumber(ARGV[5]) then redis.call('HDEL', digests, step) end
    end
    for _, part in ipairs(redis.call('HKEYS', saved)) do
      if tonumber(string.match(part, '^%d+')) <= tonumber(ARGV[3]) then redis.call('HDEL', saved, part) end
    end
    return 'ok'`,

  /** Ends the sessions named, whose workers have gone silent although their leases hold. */
  evict: `${leased}
    for i = 3, #ARGV do forget(ARGV[i]) end
    return 'ok'`,

  /** Who writes the result: "writer" for the caller, "finished" once it is there, else the status of who does. */
  writer: `${leased}
    if redis.call('HGET', record, 'state') == 'finished' then return 'finished' end
    local writer = redis.call('HGET', record, 'writer')
    if writer ~= me and alive(writer) then return { redis.call('HGET', workers, writer) or '' } end
    redis.call('HSET', record, 'writer', me)
    return 'writer'`,

  /** The result is written: what the run needed on the way is removed. */
  finish: `${leased}
    if redis.call('HGET', record, 'writer') ~= me then return 'lost' end
    redis.call('HSET', record, 'state', 'finished')
    redis.call('DEL', log, digests, saved, owners)
    redis.call('EXPIRE', record, 86400)
    return 'ok'`,

  /** All that is known: record, live sessions, their statuses and the shards' owners. */
  status: `
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    return { redis.call('HGETALL', KEYS[1]), redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf'),
      redis.call('HGETALL', KEYS[4]), redis.call('HGETALL', KEYS[5]), redis.call('XLEN', KEYS[6]) }`,
} as const;

export type ScriptName = keyof typeof scripts;
