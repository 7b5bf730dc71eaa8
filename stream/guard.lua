-- The cache's guard: keeps the newest prediction of each key.
--
-- KEYS     at most 128 keys, each once.
-- ARGV     for each key its value and its expiry in Unix ms, 0 for never.
-- returns  {stale, expired, same}: how many were older than what is stored, and how many
--          had expired already. All others were written, same counts those of them that
--          were stored already, to the last byte.
--
-- A value is JSON that begins {"v":"<32 lower-case hex digits>", its version. What
-- is stored and does not begin so is no prediction and is overwritten, as is a key
-- of another type (MGET reads that as absent). Running it again changes nothing.
--
-- Needs Redis 6.2 for PXAT. It sets no flags and declares all its keys, so it runs
-- on a cluster node too when the keys share a slot.

local sub, find, tonumber, call = string.sub, string.find, tonumber, redis.call
local prediction = '^{"v":"' .. string.rep('[0-9a-f]', 32) .. '"'

-- Lua's < on strings follows the server's locale (in Danish "aa" comes after "z"),
-- and a Lua number holds 53 bits: hence piece by piece, as numbers. Pieces are of
-- at most 12 digits: event time, then what is left of offset and source.
local function older(a, b)
  for first = 7, 31, 12 do
    local last = first + 11
    if last > 38 then last = 38 end
    local x, y = tonumber(sub(a, first, last), 16), tonumber(sub(b, first, last), 16)
    if not y then return false end
    if x ~= y then return x < y end
  end
  return false
end

local stored = call('MGET', unpack(KEYS))
-- After the read, so that this clock is not behind the one that expired a key.
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stale, expired, same = 0, 0, 0

for i, key in ipairs(KEYS) do
  local value, expiry, old = ARGV[2 * i - 1], ARGV[2 * i], stored[i]
  if expiry ~= '0' and now >= tonumber(expiry) then
    expired = expired + 1
  elseif old and older(value, old) and find(old, prediction) then
    stale = stale + 1
  else
    if old == value then same = same + 1 end -- written for its expiry, which may be another
    if expiry == '0' then
      call('SET', key, value)
    else
      call('SET', key, value, 'PXAT', expiry)
    end
  end
end

return {stale, expired, same}
