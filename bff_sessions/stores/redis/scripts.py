"""The Lua scripts. Each works on one key, and runs as a whole.

A session is a hash with these fields. It exists while it has `version`.

| Field | Content |
| --- | --- |
| `version` | The version, and the random ID of the write that made it, with a space between |
| `partition` | The partition |
| `head` | The other fields that identify the session, see `layout` |
| `times` | `renewed`, `expires`, and the `cover` of its hints, see `layout` |
| `ticket` | The ticket |
| `device` | What was recorded of the device |
| `lease` | The owner of the lease, and its end in milliseconds, with a space between |
| `moved` | The new store key, while the session moves there |
| `closed` | Instead of `version`: the ID of the delete that has closed it |
| `tombstone` | Alone: the ID of the delete that has ended it |

Scripts are sent whole, because a server forgets them when it restarts or fails over.

A server whose memory is full refuses the first write of a script if that may need memory. So those
that end a session begin with a write that needs none.
"""

from __future__ import annotations

from typing import Final

MISSING: Final = -1
CHANGED: Final = -2
EXISTS: Final = -3
UNCOVERED: Final = -4
"""The hints of the session are not those of what is to be written: write them first. Partition and
head of the session follow."""

# Sets the time to live by `times`, and the milliseconds of grace. A time in the past deletes.
_EXPIRE: Final = """
local function expire(times, grace)
  local ends = string.match(times, '^%S+ (%S+)')
  if ends == '-' then
    redis.call('PERSIST', KEYS[1])
  else
    local at = math.max(1, math.ceil(ends / 1000) + grace)
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', at))
  end
end
"""

# The version and the ID of the last write; nil if there is no session, or it moves.
_VERSION: Final = """
local function version()
  local found = redis.call('HMGET', KEYS[1], 'version', 'moved')
  if not found[1] or found[2] then return nil end
  local number, write = string.match(found[1], '^(%d+) (.*)$')
  return tonumber(number), write
end
"""

# The cover at the end of `times`.
_COVER: Final = """
local function cover(times) return string.match(times, '%S+$') end
"""

# Whether the session is live, by the clock of the server, and the present moment in microseconds.
_LIVE: Final = (
    _VERSION
    + """
local function live()
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  if not version() then return false, now end
  local ends = string.match(redis.call('HGET', KEYS[1], 'times'), '^%S+ (%S+)')
  return ends == '-' or tonumber(ends) > now, now
end
"""
)

CREATE: Final = (
    _EXPIRE
    + """
local made = ARGV[2] .. ' ' .. ARGV[1]
local found = redis.call('HGET', KEYS[1], 'version')
if found then return found == made and 1 or -3 end
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
redis.call('HSET', KEYS[1], 'version', made, 'times', ARGV[4], unpack(ARGV, 5))
expire(ARGV[4], ARGV[3])
return 1
"""
)
"""Create a session. ARGV: ID of the write, version, grace, times, then fields and values."""

UPDATE: Final = (
    _EXPIRE
    + _VERSION
    + _COVER
    + """
local write, if_version, grace, covered = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local head, times, ticket = ARGV[5], ARGV[6], ARGV[7]
local number, last = version()
if not number then return {-1} end
if last == write then return {number} end
if if_version ~= '' and tonumber(if_version) ~= number then return {-2} end
if covered == '' then
  local known = redis.call('HMGET', KEYS[1], 'partition', 'head', 'times')
  if known[2] ~= head or cover(times) ~= cover(known[3]) then return {-4, known[1], known[2]} end
end
redis.call('HSET', KEYS[1], 'version', (number + 1) .. ' ' .. write,
  'head', head, 'times', times, 'ticket', ticket)
expire(times, grace)
return {number + 1}
"""
)
"""Write head, times and ticket. ARGV: ID of the write, the version that the session must have or
"", grace, anything if the hints are written or "", head, times, ticket. Returns the version."""

TOUCH: Final = (
    _EXPIRE
    + _LIVE
    + _COVER
    + """
local grace, covered, times = ARGV[1], ARGV[2], ARGV[3]
if not live() then return {-1} end
local known = redis.call('HMGET', KEYS[1], 'partition', 'head', 'times')
if known[2] ~= covered and cover(times) ~= cover(known[3]) then return {-4, known[1], known[2]} end
redis.call('HSET', KEYS[1], 'times', times)
expire(times, grace)
return {1}
"""
)
"""Renew a live session. ARGV: grace, the head whose hints are written or "", times."""

NOTE: Final = (
    _LIVE
    + """
if not live() then return 0 end
local device = redis.call('HGET', KEYS[1], 'device') or '- null'
local seen, about = string.match(device, '^(%S+) (.*)$')
if seen ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then about = ARGV[3] end
redis.call('HSET', KEYS[1], 'device', ARGV[2] .. ' ' .. about)
return 1
"""
)
"""Record a device. ARGV: when it must have been seen last, when it is seen now, what to record or
"" to leave that."""

ACQUIRE: Final = (
    _LIVE
    + """
local is_live, now = live()
if not is_live then return -1 end
local lease = redis.call('HGET', KEYS[1], 'lease')
if lease then
  local owner, ends = string.match(lease, '^(.*) (%S+)$')
  if owner ~= ARGV[1] and tonumber(ends) > now then return 0 end
end
redis.call('HSET', KEYS[1], 'lease', ARGV[1] .. ' ' .. string.format('%.0f', now + ARGV[2]))
return 1
"""
)
"""Lease a session. ARGV: owner, microseconds."""

RELEASE: Final = (
    _LIVE
    + """
local owner, ends = string.match(redis.call('HGET', KEYS[1], 'lease') or '', '^(.*) (%S+)$')
if owner ~= ARGV[1] then return 0 end
local _, now = live()
redis.call('HDEL', KEYS[1], 'lease')
return tonumber(ends) > now and 1 or 0
"""
)
"""Release a lease. ARGV: owner."""

LEAVE: Final = (
    _VERSION
    + """
local write, if_version, to, timeout = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('HMGET', KEYS[1], 'version', 'moved', 'device', 'lease')
local made = (if_version + 1) .. ' ' .. write
if found[1] ~= made or found[2] ~= to then
  local number = version()
  if not number then return {-1} end
  if number ~= tonumber(if_version) then return {-2} end
  redis.call('HSET', KEYS[1], 'version', made, 'moved', to)
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 or left > tonumber(timeout) then redis.call('PEXPIRE', KEYS[1], timeout) end
end
return {1, found[3], found[4]}
"""
)
"""Begin a move. ARGV: ID of the write, version, new store key, milliseconds until it has failed.
Returns device and lease, too."""

STAY: Final = (
    _EXPIRE
    + """
local found = redis.call('HMGET', KEYS[1], 'version', 'moved', 'times')
if found[1] ~= ARGV[1] or not found[2] then return 0 end
redis.call('HDEL', KEYS[1], 'moved')
expire(found[3], ARGV[2])
return 1
"""
)
"""Undo LEAVE. ARGV: version and ID of the write, grace."""

LEFT: Final = """
if redis.call('HGET', KEYS[1], 'version') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return redis.call('EXISTS', KEYS[1]) == 0 and 2 or 0
"""
"""End a move: delete the old session. ARGV: version and ID of the write. 0: it was ended."""

END: Final = """
local id, head, times, closes = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tombstone, buries = ARGV[5], ARGV[6]
local found = redis.call('HMGET', KEYS[1], 'head', 'times', 'ticket', 'moved', 'version', 'closed')
if not found[1] then
  local before = redis.call('HGET', KEYS[1], 'tombstone')
  if not before and buries == '' then return {0} end
  redis.call('HDEL', KEYS[1], 'version')
  redis.call('HSETNX', KEYS[1], 'tombstone', id)
  redis.call('PEXPIRE', KEYS[1], tombstone)
  return {before == id and 2 or -1}
end
if found[1] ~= head or times ~= '' and found[2] ~= times then return {-2} end
if closes == '' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'tombstone', id)
  redis.call('PEXPIRE', KEYS[1], tombstone)
else
  local version = found[5] or string.match(found[6] or '', ' (.*)') or ''
  redis.call('HDEL', KEYS[1], 'version', 'lease')
  redis.call('HSET', KEYS[1], 'closed', id .. ' ' .. version)
  redis.call('PEXPIRE', KEYS[1], closes)
end
return {1, found[1], found[2], found[3], found[4]}
"""
"""End a session. ARGV: ID of the delete, the head that the session must have, the times that it
must have or "", milliseconds for which to close it or "" to delete it, milliseconds of the
tombstone, whether to leave one if there is no session or "".

Returns 1, head, times, ticket and new store key of the session; 2 if this delete has ended it
before; -1 if only a tombstone was written; 0 if nothing was; -2 if the session has changed."""

FINISH: Final = """
local closed = redis.call('HGET', KEYS[1], 'closed')
if not closed then return redis.call('HGET', KEYS[1], 'tombstone') == ARGV[1] and 1 or 0 end
if string.match(closed, '^%S+') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'tombstone', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
"""Put a session that this delete has closed under its tombstone. ARGV: ID, milliseconds."""

OPEN: Final = (
    _EXPIRE
    + """
local found = redis.call('HMGET', KEYS[1], 'closed', 'times')
local id, version = string.match(found[1] or '', '^(%S+) (.*)$')
if id ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'closed')
redis.call('HSET', KEYS[1], 'version', version)
expire(found[2], ARGV[2])
return 1
"""
)
"""Open a session that this delete has closed. ARGV: ID of the delete, grace."""

CLOSING: Final = """
redis.call('ZREM', KEYS[1], ARGV[2])
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
"""
"""Write a hint at a session that is about to be closed. ARGV: the present moment, the member."""

HINT: Final = """
redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
local passed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3], 'LIMIT', 0, 100)
if #passed > 0 then redis.call('ZREM', KEYS[1], unpack(passed)) end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last then redis.call('EXPIREAT', KEYS[1], last) end
return 1
"""
"""Write a hint. ARGV: its cover, the member, the present moment in seconds. Removes hints that have
passed, and keeps the set until the last one passes."""
