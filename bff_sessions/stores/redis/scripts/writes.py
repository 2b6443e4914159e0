"""Scripts that create, save, renew and lease a session, and record a device."""

from __future__ import annotations

from typing import Final

from bff_sessions.stores.redis.scripts.fragments import COVER, EXPIRE, LIVE, VERSION, unless_other

CREATE: Final = unless_other(
    "-1",
    EXPIRE,
    """
local made = ARGV[2] .. ' ' .. ARGV[1]
local found = redis.call('HGET', KEYS[1], 'version')
if found then return found == made and 1 or -3 end
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
redis.call('HSET', KEYS[1], 'version', made, 'times', ARGV[4], unpack(ARGV, 5))
expire(ARGV[4], ARGV[3])
return 1
""",
)
"""Create a session. ARGV: ID of the write, version, grace, times, then fields and values."""

UPDATE: Final = unless_other(
    "{-1}",
    EXPIRE,
    VERSION,
    COVER,
    """
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
""",
)
"""Write head, times and ticket. ARGV: ID of the write, the version that the session must have or
"", grace, anything if the hints are written or "", head, times, ticket. Returns the version."""

TOUCH: Final = unless_other(
    "{-1}",
    EXPIRE,
    LIVE,
    COVER,
    """
local if_version, grace, covered, times = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not live() then return {-1} end
if if_version ~= '' and tonumber(if_version) ~= version() then return {-2} end
local known = redis.call('HMGET', KEYS[1], 'partition', 'head', 'times')
if known[2] ~= covered and cover(times) ~= cover(known[3]) then return {-4, known[1], known[2]} end
redis.call('HSET', KEYS[1], 'times', times)
expire(times, grace)
return {1}
""",
)
"""Renew a live session. ARGV: the version that it must have or "", grace, the head whose hints are
written or "", times."""

NOTE: Final = unless_other(
    "0",
    LIVE,
    """
if not live() then return 0 end
local device = redis.call('HGET', KEYS[1], 'device') or '- null'
local seen, about = string.match(device, '^(%S+) (.*)$')
if seen ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then about = ARGV[3] end
redis.call('HSET', KEYS[1], 'device', ARGV[2] .. ' ' .. about)
return 1
""",
)
"""Record a device. ARGV: when it must have been seen last, when it is seen now, what to record or
"" to leave that."""

ACQUIRE: Final = unless_other(
    "-1",
    LIVE,
    """
local is_live, now = live()
if not is_live then return -1 end
local lease = redis.call('HGET', KEYS[1], 'lease')
if lease then
  local owner, ends = string.match(lease, '^(.*) (%S+)$')
  if owner ~= ARGV[1] and (tonumber(ends) or 0) > now then return 0 end
end
redis.call('HSET', KEYS[1], 'lease', ARGV[1] .. ' ' .. string.format('%.0f', now + ARGV[2]))
return 1
""",
)
"""Lease a session. ARGV: owner, microseconds."""

RELEASE: Final = unless_other(
    "0",
    LIVE,
    """
local owner, ends = string.match(redis.call('HGET', KEYS[1], 'lease') or '', '^(.*) (%S+)$')
if owner ~= ARGV[1] then return 0 end
local _, now = live()
redis.call('HDEL', KEYS[1], 'lease')
return (tonumber(ends) or 0) > now and 1 or 0
""",
)
"""Release a lease. ARGV: owner."""
