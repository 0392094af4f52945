-- The slots of one quota: what became of some, and who may have the next. All on this server's clock, in microseconds.
--
-- KEYS: state; processes (name -> last heard of); slots (id -> free from) of the interactive lane, of bulk, and of calls
--       that were refused, which HubSpot does not count and which rest all the same; processes (name -> taken to wait
--       until) whose interactive lane waits, and whose bulk lane does.
-- ARGV: a message, as `limiter/store.py` explains it, and a fresh epoch.
-- Returns: 1 granted, 0 not, -1 unknown; then epoch and the numbers of `Granted` in its order.

local STATE, PROCESSES = KEYS[1], KEYS[2]
local SLOTS = { [0] = KEYS[3], [1] = KEYS[4], [2] = KEYS[5] }
local REFUSED = 2
local WAITING = { [0] = KEYS[6], [1] = KEYS[7] }
local KEPT_US = 5000000      -- free slots stay so long, to be compared with the counts of slow answers
local PATIENCE_US = 2000000  -- a probe that hangs must not hang everybody
local FIRST_PAUSE_US = 250000
local LONGEST_WISH_US = 86400000000
local LONGEST_WAIT_US = 250000
local AHEAD_US = 15000       -- a slot that comes free so soon is given away with the time to wait for it

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local said = cjson.decode(ARGV[1])
-- Within this time all who were there before, and still call, have told a new memory of their slots.
local YOUNG_US = math.max(2000000, said.window_us / 2)

local state, changed = {}, {}
local flat = redis.call('HGETALL', STATE)
for i = 1, #flat, 2 do state[flat[i]] = flat[i + 1] end

local function text(number) return string.format('%.0f', number) end
local function get(name) return tonumber(state[name] or '0') end
local function set(name, value)
  state[name] = type(value) == 'number' and text(value) or value
  changed[#changed + 1] = name
  changed[#changed + 1] = state[name]
end

-- ---- memory

local function close()
  local lasts = text((said.window_us + said.lease_us) / 1000 + 60000)
  if #changed > 0 then redis.call('HSET', STATE, unpack(changed)) end
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, lasts) end
end

if not state.epoch then
  set('epoch', ARGV[2])
  set('born', now)
end
if said.epoch ~= state.epoch and not said.kept then
  close()
  return { -1, state.epoch, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
end
for _, kept in ipairs(said.kept or {}) do redis.call('ZADD', SLOTS[kept[2]], now + kept[3], kept[1]) end
if said.limit_known and get('limit') ~= said.limit then
  set('limit', said.limit)
  set('pace', 0)
end

-- ---- one pause for all after a 429, and one probe

local function shut(opens_at)
  set('shut', 1)
  set('shut_at', now)
  set('opens_at', math.max(get('opens_at'), opens_at))
  set('probe_at', 0)
end

local function refused(granted_at, wish)
  wish = math.min(wish, LONGEST_WISH_US)
  if granted_at > get('shut_at') then
    set('step', math.min(math.max(2 * get('step'), FIRST_PAUSE_US), said.window_us))
    shut(now + math.max(get('step'), wish))
  elseif wish > 0 and now + wish > get('opens_at') then
    shut(now + wish)
  end
end

local function opened_at()
  if get('shut') == 0 then return 0 end
  if get('probe_at') == 0 then return get('opens_at') end
  return math.max(get('opens_at'), get('probe_at') + PATIENCE_US)
end

-- ---- what others use: HubSpot's count of a window, less our slots that can be in it

local function in_use(lane, since) return redis.call('ZCOUNT', SLOTS[lane], '(' .. text(since), '+inf') end

local function compare(count, granted_at, answered_at)
  -- Slots that a young memory was not told of would look like others'.
  if now - granted_at > KEPT_US or granted_at < get('born') + YOUNG_US then return end
  local surplus = count
  for lane = 0, 1 do
    -- Not in that count: what was free before the call left, and what was granted after its answer.
    local granted_later = in_use(lane, answered_at + said.lease_us + said.rest_us)
    surplus = surplus - in_use(lane, granted_at) + granted_later
  end
  surplus = math.max(0, surplus)
  local second = math.floor(now / 1000000)
  local place = second % 3
  if get('second' .. place) ~= second or surplus > get('surplus' .. place) then
    set('second' .. place, second)
    set('surplus' .. place, surplus)
  end
  set('surplus', surplus)
  set('compared_at', now)
end

local function hold()
  local second, most = math.floor(now / 1000000), nil
  for place = 0, 2 do
    if get('second' .. place) >= second - 2 then most = math.max(most or 0, get('surplus' .. place)) end
  end
  if most then return most end
  return now < get('compared_at') + said.window_us and get('surplus') or 0
end

-- ---- what became of slots

for _, ended in ipairs(said.ended or {}) do
  local granted_at = ended.granted_at or 0
  local stamped_by = now - (ended.age_us or 0)
  if ended.how == 'unused' then
    redis.call('ZREM', SLOTS[ended.lane], ended.id)
  elseif ended.how == 'refused' then
    redis.call('ZREM', SLOTS[ended.lane], ended.id)
    redis.call('ZADD', SLOTS[REFUSED], stamped_by + said.rest_us, ended.id)
  else
    redis.call('ZADD', SLOTS[ended.lane], stamped_by + said.rest_us, ended.id)
  end
  if ended.count and granted_at > 0 then compare(ended.count, granted_at, stamped_by) end
  if ended.how == 'refused' then
    refused(granted_at > 0 and granted_at or now, ended.retry_after_us or 0)
  elseif get('shut') == 1 and granted_at > get('shut_at') then
    set('probe_at', 0)
    if ended.how == 'passed' then
      set('shut', 0)
      set('step', 0)
    end
  end
end

-- ---- who may have the next

local process = said.process
redis.call('ZADD', PROCESSES, now, process)
redis.call('ZREMRANGEBYSCORE', PROCESSES, '-inf', text(now - said.window_us - said.lease_us))
for lane = 0, 2 do redis.call('ZREMRANGEBYSCORE', SLOTS[lane], '-inf', text(now - KEPT_US)) end

local foreign = hold()
local used = { [0] = in_use(0, now), [1] = in_use(1, now), [2] = in_use(2, now) }
local limit = state.limit and get('limit') or said.limit
limit = math.max(1, limit - foreign)

local function waits(lane) return redis.call('ZCOUNT', WAITING[lane], text(now), '+inf') end

-- When the slot after so many others comes free: in all lanes, or in one.
local function free_at(others)
  local times = {}
  for lane = 0, 2 do
    local found = redis.call(
      'ZRANGEBYSCORE', SLOTS[lane], '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', 0, others + 1
    )
    for i = 2, #found, 2 do times[#times + 1] = tonumber(found[i]) end
  end
  table.sort(times)
  return times[others + 1] or now + LONGEST_WAIT_US
end

local function free_in_lane_at(lane, others)
  local found = redis.call(
    'ZRANGEBYSCORE', SLOTS[lane], '(' .. text(now), '+inf', 'WITHSCORES', 'LIMIT', others, 1
  )
  return tonumber(found[2]) or now + LONGEST_WAIT_US
end

-- One pace for all: a process that reckons a slower one would have more of a burst to spend.
local function pace(wanted)
  if get('pace') == 0 then return wanted.pace_us end
  return math.floor((7 * get('pace') + wanted.pace_us) / 8)
end

-- When so many slots are free, beyond some to leave.
local function slot_at(left)
  local free = limit - used[0] - used[1] - used[2]
  return free > left and now or free_at(left - free)
end

-- When a lane has less than so many slots in use.
local function below_at(lane, slots)
  return used[lane] < slots and now or free_in_lane_at(lane, used[lane] - slots)
end

-- When this one may go, as things are.
local function goes_at(wanted)
  if opened_at() > now then return opened_at() end
  local bulk_slots, at = math.min(wanted.bulk_slots, limit - 1), slot_at(0)
  if wanted.lane == 0 then
    return waits(1) > 0 and math.max(at, below_at(0, limit - bulk_slots)) or at
  end
  -- Of its share bulk may have the last one; of the rest it leaves what others wait for.
  local left = math.max(wanted.reserve, waits(0))
  if left > 0 then at = math.min(math.max(at, below_at(1, bulk_slots)), slot_at(left)) end
  return math.max(at, get('tat') - (wanted.burst - 1) * pace(wanted))
end

local granted, wait, waiting = 0, 0, 0

local function take(wanted)
  redis.call('ZADD', SLOTS[wanted.lane], now + wait + said.lease_us + said.rest_us, wanted.id)
  if get('shut') == 1 then set('probe_at', now) end
  if wanted.lane == 0 then
    if waits(1) > 0 then set('owed', math.min(get('owed') + 1, wanted.most_owed)) end
  else
    -- For interactive calls that went past the pace bulk makes up, unless it has no more than its share.
    local owed = math.min(get('owed'), wanted.burst - 1)
    if owed > 0 and below_at(1, wanted.bulk_slots + 1) <= now + AHEAD_US then owed = 0 end
    set('owed', get('owed') - owed)
    set('pace', pace(wanted))
    set('tat', math.max(get('tat'), now) + (1 + owed) * get('pace'))
  end
  used[wanted.lane] = used[wanted.lane] + 1
end

local wanted = said.wanted
if wanted then
  local at = goes_at(wanted)
  if at <= now + AHEAD_US then
    granted, wait = 1, math.max(0, at - now)
    take(wanted)
  else
    wait = math.min(at - now - AHEAD_US, LONGEST_WAIT_US)
  end
  redis.call('ZREMRANGEBYSCORE', WAITING[wanted.lane], '-inf', text(now))
  if granted == 0 or wanted.more then
    redis.call('ZADD', WAITING[wanted.lane], now + wait + 50000, process)
  else
    redis.call('ZREM', WAITING[wanted.lane], process)
  end
  waiting = redis.call('ZCARD', WAITING[wanted.lane])
end
close()
return {
  granted, state.epoch, now, wait, used[0] + used[1] + used[2], redis.call('ZCARD', PROCESSES), waiting, get('limit'),
  foreign, math.max(0, get('opens_at') - now), math.max(0, get('born') + YOUNG_US - now),
}
