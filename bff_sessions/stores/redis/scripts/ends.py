"""Scripts that end a session.

A server whose memory is full refuses the first write of a script if that may need memory. So these
begin with a write that needs none.

They do not delete a session and then write its tombstone: while the slot moves to another node, the
server would execute the first command, and refuse the second one.
"""

from __future__ import annotations

from typing import Final

from bff_sessions.stores.redis.scripts.fragments import EXPIRE, unless_other

# Leaves only a tombstone.
_BURY: Final = """
local function bury(id, millis)
  redis.call('HDEL', KEYS[1], '')
  redis.call('HSET', KEYS[1], 'tombstone', id)
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if field ~= 'tombstone' then redis.call('HDEL', KEYS[1], field) end
  end
  redis.call('PEXPIRE', KEYS[1], millis)
end
"""

END: Final = (
    _BURY
    + """
local id, head, times, closes = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local tombstone, buries = ARGV[5], ARGV[6]
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
  if buries == '' then return {0} end
  redis.call('DEL', KEYS[1])
end
local found = redis.call('HMGET', KEYS[1],
  'head', 'times', 'ticket', 'device', 'moved', 'version', 'closed')
if not found[1] then
  local before = redis.call('HGET', KEYS[1], 'tombstone')
  if not before and buries == '' then return {0} end
  bury(before or id, tombstone)
  return {before == id and 2 or -1}
end
if found[1] ~= head or times ~= '' and found[2] ~= times then return {-2} end
if closes == '' then
  bury(id, tombstone)
else
  local version = found[6] or string.match(found[7] or '', ' (.*)') or ''
  redis.call('HDEL', KEYS[1], 'version', 'lease')
  redis.call('HSET', KEYS[1], 'closed', id .. ' ' .. version)
  redis.call('PEXPIRE', KEYS[1], closes)
end
return {1, found[1], found[2], found[3], found[4], found[5]}
"""
)
"""End a session. ARGV: ID of the delete, the head that the session must have, the times that it
must have or "", milliseconds for which to close it or "" to delete it, milliseconds of the
tombstone, whether to leave one if there is no session or "".

Returns 1, head, times, ticket, device and new store key of the session; 2 if this delete has ended
it before; -1 if only a tombstone was written; 0 if nothing was; -2 if the session has changed."""

FINISH: Final = unless_other(
    "0",
    _BURY,
    """
local closed = redis.call('HGET', KEYS[1], 'closed')
if not closed then return redis.call('HGET', KEYS[1], 'tombstone') == ARGV[1] and 1 or 0 end
if string.match(closed, '^%S+') ~= ARGV[1] then return 0 end
bury(ARGV[1], ARGV[2])
return 1
""",
)
"""Put a session that this delete has closed under its tombstone. ARGV: ID, milliseconds."""

OPEN: Final = unless_other(
    "0",
    EXPIRE,
    """
local found = redis.call('HMGET', KEYS[1], 'closed', 'times')
local id, version = string.match(found[1] or '', '^(%S+) (.*)$')
if id ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'closed')
redis.call('HSET', KEYS[1], 'version', version)
expire(found[2], ARGV[2])
return 1
""",
)
"""Open a session that this delete has closed. ARGV: ID of the delete, grace."""

KEEP: Final = unless_other(
    "0",
    """
redis.call('HDEL', KEYS[1], '')
for _, field in ipairs(ARGV) do
  local value = redis.call('HGET', KEYS[1], field)
  if value then
    redis.call('HSET', KEYS[1], field, value)
    return 1
  end
end
return 0
""",
)
"""Write one of the fields again, for replicas to confirm. ARGV: the fields. 0: it has none."""
