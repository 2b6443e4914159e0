"""Scripts that write hints. Something else that has the name of their set is deleted."""

from __future__ import annotations

from typing import Final

# The result of a script that has deleted something else.
REPLACED: Final = 2

# Makes room for the set. Returns the result of the script.
_MAKE_ROOM: Final = """
local function make_room()
  local kind = redis.call('TYPE', KEYS[1]).ok
  if kind == 'zset' or kind == 'none' then return 1 end
  redis.call('DEL', KEYS[1])
  return 2
end
"""

HINT: Final = (
    _MAKE_ROOM
    + """
local result = make_room()
redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
local now = redis.call('TIME')[1]
local passed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)
if #passed > 0 then redis.call('ZREM', KEYS[1], unpack(passed)) end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last then redis.call('EXPIREAT', KEYS[1], last) end
return result
"""
)
"""Write a hint. ARGV: its cover, the member. Removes hints that have passed by the clock of the
server, which also ends the sessions, and keeps the set until the last one passes."""

EXPIRING: Final = (
    _MAKE_ROOM
    + """
local result = make_room()
redis.call('ZADD', KEYS[1], 'LT', ARGV[1], ARGV[2])
return result
"""
)
"""Write a hint for clean-up. ARGV: when the session expires, the member. If the session is renewed,
clean-up finds it too early, and writes the new time."""

CLOSING: Final = (
    _MAKE_ROOM
    + """
make_room()
redis.call('ZREM', KEYS[1], '')
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
"""
)
"""Write a hint at a session that is about to be closed. ARGV: the present moment, the member."""

FORGET: Final = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not score or tonumber(score) > tonumber(ARGV[1]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[2])
"""
"""Remove a hint that was not written again. ARGV: the latest moment of it, the member."""
