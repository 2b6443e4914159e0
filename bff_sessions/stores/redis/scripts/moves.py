"""Scripts that move a session to another key, see `bff_sessions.stores.redis.moves`."""

from __future__ import annotations

from typing import Final

from bff_sessions.stores.redis.scripts.fragments import EXPIRE, VERSION, unless_other

LEAVE: Final = unless_other(
    "{-1}",
    VERSION,
    """
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
""",
)
"""Begin a move. ARGV: ID of the write, version, new store key, milliseconds until it has failed.
Returns device and lease, too."""

STAY: Final = unless_other(
    "0",
    EXPIRE,
    """
local found = redis.call('HMGET', KEYS[1], 'version', 'moved', 'times')
if found[1] ~= ARGV[1] or not found[2] then return 0 end
redis.call('HDEL', KEYS[1], 'moved')
expire(found[3], ARGV[2])
return 1
""",
)
"""Undo LEAVE. ARGV: version and ID of the write, grace."""

LEFT: Final = unless_other(
    "0",
    """
if redis.call('HGET', KEYS[1], 'version') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return redis.call('EXISTS', KEYS[1]) == 0 and 2 or 0
""",
)
"""End a move: delete the old session. ARGV: version and ID of the write. 0: it was ended."""

GONE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 and not redis.call('HGET', KEYS[1], 'tombstone') then
  return 0
end
redis.call('HSET', KEYS[1], 'tombstone', '')
redis.call('PEXPIRE', KEYS[1], 1000)
return 1
"""
"""Write for replicas to confirm that the old session is gone. 0: it is not."""
