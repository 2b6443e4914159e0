"""Parts of scripts, in Lua."""

from __future__ import annotations

from typing import Final

# Returns from the script if something else than a hash has the name.
_OTHER: Final = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then return %s end
"""


def unless_other(result: str, *parts: str) -> str:
    """Return a script of `parts`, which returns `result` if another type of value has the name."""
    return _OTHER % result + "".join(parts)


# Sets the time to live by `times`, and the milliseconds of grace. A time in the past deletes.
EXPIRE: Final = """
local function expire(times, grace)
  local ends = string.match(times or '', '^%S+ (%S+)')
  if ends == '-' then
    redis.call('PERSIST', KEYS[1])
  else
    local at = math.max(1, math.ceil((tonumber(ends) or 0) / 1000) + grace)
    redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', at))
  end
end
"""

# The version and the ID of the last write; nil if there is no session, or it moves.
VERSION: Final = """
local function version()
  local found = redis.call('HMGET', KEYS[1], 'version', 'moved')
  if not found[1] or found[2] then return nil end
  local number, write = string.match(found[1], '^(%d+) (.*)$')
  return tonumber(number), write
end
"""

# The cover at the end of `times`.
COVER: Final = """
local function cover(times) return string.match(times or '', '%S+$') end
"""

# Whether the session is live, by the clock of the server, and the present moment in microseconds.
LIVE: Final = (
    VERSION
    + """
local function live()
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  if not version() then return false, now end
  local ends = string.match(redis.call('HGET', KEYS[1], 'times') or '', '^%S+ (%S+)')
  return ends == '-' or (tonumber(ends) or 0) > now, now
end
"""
)
