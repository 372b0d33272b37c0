/*
 * rscript: see rscript.h.
 *
 * HITS repeats score_apply(), decide() and level_duration() (score.c,
 * store_embedded.c) operation by operation: change them together; a test
 * feeds both the same hits and compares. What it adds:
 *
 * - The key block:ADDR holds a block only while its end lies in the future.
 *   While old lines are caught up a block may begin and end in the past; the
 *   field `block` of the score hash remembers the last one for this, and
 *   counts only when the block is over by now (before that the key is the
 *   authority, because someone may have deleted it).
 * - TTLs count from the caller's `now`; the hash lives a window from when it
 *   was last written, not from the time in the log.
 * - Nothing is written before everything about a hit has been read, and reads
 *   of a key that has another type are caught, so that an error of Redis
 *   (OOM, READONLY) leaves nothing half done and a key made by hand does not
 *   stop the hits behind it.
 *
 * LIFT keeps the src: fields of the hash: a line that was applied stays
 * applied after the address is forgiven.
 */
#include "lib/io/rscript.h"

/* Shared by scripts that lift a block. Returns what there was. */
#define LUA_LIFT                                                            \
	"local function lift(addr, forgive)\n"                              \
	"  local key = P .. 'score:' .. addr\n"                             \
	"  local b = redis.call('DEL', P .. 'block:' .. addr)\n"            \
	"  local s, k = 0, 0\n"                                             \
	"  local f = redis.pcall('HKEYS', key)\n"                           \
	"  if f.err then s = redis.call('DEL', key) else\n"                 \
	"    for i = 1, #f do\n"                                            \
	"      if string.sub(f[i], 1, 4) ~= 'src:' then\n"                  \
	"        redis.call('HDEL', key, f[i])\n"                           \
	"        s = 1\n"                                                   \
	"      end\n"                                                       \
	"    end\n"                                                         \
	"  end\n"                                                           \
	"  if forgive then k = redis.call('DEL', P .. 'strikes:' .. addr) " \
	"end\n"                                                             \
	"  return b, s, k\n"                                                \
	"end\n"

#define TEXT_OF(x) TEXT_OF_(x)
#define TEXT_OF_(x) #x
#define LINES_MAX TEXT_OF(RSCRIPT_LINES_MAX)

/* XADD with a bound; another type under that name is let be. */
#define LUA_EVENT                                                             \
	"local function event(...)\n"                                         \
	"  redis.pcall('XADD', P .. 'events', 'MAXLEN', '~', '10000', '*',\n" \
	"    ...)\n"                                                          \
	"end\n"

static const char hits[] =
    "local P = ARGV[1]\n"
    "local now, W = tonumber(ARGV[2]), tonumber(ARGV[3])\n"
    "local factor, max = tonumber(ARGV[4]), tonumber(ARGV[5])\n"
    "local memory, host = tonumber(ARGV[6]), ARGV[7]\n"
    "local nl, at = tonumber(ARGV[8]), 9\n"
    "local name, thr, dur, rank = {}, {}, {}, {}\n"
    "for i = 1, nl do\n"
    "  name[i], thr[i], dur[i] = ARGV[at], tonumber(ARGV[at + 1]),\n"
    "    tonumber(ARGV[at + 2])\n"
    "  rank[name[i]] = i\n"
    "  at = at + 3\n"
    "end\n"
    "local wms = string.format('%d', math.ceil(W * 1000))\n"
    "local fmt, call, pcall = string.format, redis.call, "
    "redis.pcall\n" LUA_EVENT "local function num(x)\n"
    "  local s = fmt('%.15g', x)\n"
    "  if tonumber(s) ~= x then s = fmt('%.17g', x) end\n"
    "  return s\n"
    "end\n"
    "local function word(v, k)\n"
    "  return tonumber(string.match(v, ' ' .. k .. '=(%S+)'))\n"
    "end\n"
    /* level, since, until, strikes of the block active at t, or nil */
    "local function active(key, last, t)\n"
    "  local v = pcall('GET', key)\n"
    "  local till\n"
    "  if type(v) == 'string' then\n"
    "    local left = call('PTTL', key)\n"
    "    local w = word(v, 'until')\n"
    "    till = left < 0 and 1e12 or now + left / 1000\n"
    "    if w and math.abs(w - till) < 2 then till = w end\n"
    "  elseif last then\n"
    "    v, till = last, word(last, 'until')\n"
    "    if till and till > now then return nil end\n"
    "  end\n"
    "  if not till or till <= t then return nil end\n"
    "  return string.match(v, '^%S+'), word(v, 'since') or t, till,\n"
    "    word(v, 'strikes') or 0\n"
    "end\n"
    /* the new block and whether it raises one, or nil */
    "local function decide(addr, key, last, t, score, rule, level)\n"
    "  local was, since, till, strikes = active(key, last, t)\n"
    "  local how, skey = 'r', P .. 'strikes:' .. addr\n"
    "  if was then\n"
    "    if (rank[was] or 0) >= level then return nil end\n"
    "  else\n"
    "    how, since, till = 'b', t, -math.huge\n"
    "    strikes = tonumber(pcall('GET', skey)) or 0\n"
    "    local ms = math.ceil((t + memory - now) * 1000)\n"
    "    if ms > 0 then\n"
    "      call('SET', skey, fmt('%d', strikes + 1), 'PX',\n"
    "        fmt('%d', ms))\n"
    "    end\n"
    "  end\n"
    "  local d = dur[level] * factor ^ strikes\n"
    "  if d > max then d = math.max(max, dur[level]) end\n"
    "  if t + d > till then till = t + d end\n"
    "  return how, till, name[level] .. ' score=' .. num(score) ..\n"
    "    ' rule=' .. rule .. ' by=' .. host .. ' since=' .. num(since) ..\n"
    "    ' until=' .. num(till) .. ' strikes=' .. fmt('%d', strikes)\n"
    "end\n"
    "local out, flags = {''}, {}\n"
    "local function hit(addr, t, weight, rule, epoch, offset)\n"
    "  local key, src = P .. 'score:' .. addr, 'src:' .. epoch\n"
    "  local rf = 'rule:' .. rule\n"
    "  local h = pcall('HMGET', key, 'score', 'first', 'last', src, rf,\n"
    "    'block')\n"
    "  if h.err then return 'e' end\n"
    "  if epoch ~= '0' and h[4] and\n"
    "    (tonumber(h[4]) or 0) >= tonumber(offset) then return '0' end\n"
    "  local score, first, last = tonumber(h[1]), tonumber(h[2]),\n"
    "    tonumber(h[3])\n"
    "  local count = tonumber(h[5]) or 0\n"
    "  local drop\n"
    "  if not (score and first and last) or t - last >= W then\n"
    "    if h[1] then\n"
    "      drop = {}\n"
    "      for _, f in ipairs(call('HKEYS', key)) do\n"
    "        if string.sub(f, 1, 5) == 'rule:' then drop[#drop + 1] = f end\n"
    "      end\n"
    "    end\n"
    "    score, first, last, count = 0, t, t, 0\n"
    "  end\n"
    "  if t > last then\n"
    "    if first < t - W then\n"
    "      score = score * W / (t - first)\n"
    "      first = t - W\n"
    "    end\n"
    "    last = t\n"
    "  end\n"
    "  score = score + weight\n"
    "  if score < 0 then score = 0 end\n"
    "  local level = 0\n"
    "  for i = 1, nl do if score >= thr[i] then level = i end end\n"
    "  local how, till, value\n"
    "  local bkey = P .. 'block:' .. addr\n"
    "  if level > 0 and weight > 0 then\n"
    "    how, till, value = decide(addr, bkey, h[6], t, score, rule, level)\n"
    "  end\n"
    "  if drop then\n"
    "    for i = 1, #drop do call('HDEL', key, drop[i]) end\n"
    "  end\n"
    "  local set = {'HSET', key, 'score', fmt('%.17g', score), 'first',\n"
    "    fmt('%.17g', first), 'last', fmt('%.17g', last), rf,\n"
    "    fmt('%d', count + 1)}\n"
    "  if epoch ~= '0' then\n"
    "    set[#set + 1] = src\n"
    "    set[#set + 1] = offset\n"
    "  end\n"
    "  if how then\n"
    "    set[#set + 1] = 'block'\n"
    "    set[#set + 1] = value\n"
    "  end\n"
    "  call(unpack(set))\n"
    "  call('PEXPIRE', key, wms)\n"
    "  if not how then return '1' end\n"
    "  if till > now then\n"
    "    call('SET', bkey, value, 'PX', fmt('%d',\n"
    "      math.ceil((till - now) * 1000)))\n"
    "  end\n"
    "  event('what', how == 'b' and 'block' or 'raise', 'addr', addr,\n"
    "    'value', value)\n"
    "  out[#out + 1] = value\n"
    "  return how\n"
    "end\n"
    "for i = at, #ARGV, 6 do\n"
    "  flags[#flags + 1] = hit(ARGV[i], tonumber(ARGV[i + 1]),\n"
    "    tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])\n"
    "end\n"
    "out[1] = table.concat(flags)\n"
    "return out\n";

static const char read_keys[] =
    "local out = {}\n"
    "for i = 1, #ARGV do\n"
    "  local v = redis.pcall('GET', ARGV[i])\n"
    "  if type(v) == 'table' then v = '' end\n"
    "  out[#out + 1] = v\n"
    "  out[#out + 1] = redis.call('PTTL', ARGV[i])\n"
    "end\n"
    "return out\n";

/* A key of another type has no value for MGET: it is passed over. */
static const char scan[] =
    "local call = redis.call\n"
    "local r = call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])\n"
    "local keys, out, n = r[2], {r[1]}, 1\n"
    "for from = 1, #keys, 1000 do\n"
    "  local to = math.min(from + 999, #keys)\n"
    "  local values = call('MGET', unpack(keys, from, to))\n"
    "  for i = 1, to - from + 1 do\n"
    "    if values[i] then\n"
    "      local key = keys[from + i - 1]\n"
    "      out[n + 1], out[n + 2], out[n + 3] = key, values[i],\n"
    "        call('PTTL', key)\n"
    "      n = n + 3\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return out\n";

static const char allow_scan[] =
    "local r = redis.pcall('SSCAN', ARGV[1] .. 'allow', ARGV[2], 'COUNT',\n"
    "  ARGV[3])\n"
    "if r.err then return r end\n"
    "local out = {r[1]}\n"
    "for _, e in ipairs(r[2]) do out[#out + 1] = e end\n"
    "return out\n";

static const char block[] =
    "local P = ARGV[1]\n" LUA_EVENT
    "redis.call('SET', P .. 'block:' .. ARGV[2], ARGV[3], 'PX', ARGV[4])\n"
    "event('what', 'block', 'addr', ARGV[2], 'value', ARGV[3])\n"
    "return 1\n";

static const char lift[] =
    "local P = ARGV[1]\n" LUA_EVENT LUA_LIFT
    "local b, s, k = lift(ARGV[2], ARGV[3] == '1')\n"
    "if b + s + k > 0 then\n"
    "  event('what', ARGV[3] == '1' and 'forgive' or 'unblock', 'addr',\n"
    "    ARGV[2], 'by', ARGV[4])\n"
    "end\n"
    "return {b, s, k}\n";

static const char lift_all[] =
    "local P = ARGV[1]\n" LUA_EVENT LUA_LIFT
    "local r = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[2], 'COUNT',\n"
    "  ARGV[4])\n"
    "local out, skip = {r[1]}, #P + 7\n"
    "for _, key in ipairs(r[2]) do\n"
    "  local addr = string.sub(key, skip)\n"
    "  if lift(addr, false) > 0 then out[#out + 1] = addr end\n"
    "end\n"
    "if #out > 1 then\n"
    "  event('what', 'unblock-all', 'count', tostring(#out - 1), 'by',\n"
    "    ARGV[5])\n"
    "end\n"
    "return out\n";

static const char allow[] =
    "local P = ARGV[1]\n" LUA_EVENT "local add = ARGV[3] == '1'\n"
    "local n = redis.call(add and 'SADD' or 'SREM', P .. 'allow', ARGV[2])\n"
    "if n == 1 then\n"
    "  event('what', add and 'allow' or 'disallow', 'addr', ARGV[2], 'by',\n"
    "    ARGV[4])\n"
    "end\n"
    "return n\n";

static const char fetch[] =
    "local P = ARGV[1]\n"
    "local s = redis.pcall('GET', P .. 'strikes:' .. ARGV[2])\n"
    "local h = redis.pcall('HGETALL', P .. 'score:' .. ARGV[2])\n"
    "if h.err then h = {} end\n"
    "return {tonumber(s) or 0, h}\n";

static const char tell[] =
    "local P = ARGV[1]\n" LUA_EVENT
    "local e = {'what', 'lines', 'addr', ARGV[2], 'host', ARGV[3]}\n"
    "for i = 4, #ARGV do\n"
    "  e[#e + 1] = 'line'\n"
    "  e[#e + 1] = ARGV[i]\n"
    "end\n"
    "event(unpack(e))\n"
    "return 1\n";

/* The next stretch of the stream, newest first. Where XREVRANGE is not
 * permitted, nothing is known. */
static const char lines[] =
    "local n, out = tonumber(ARGV[4]), {''}\n"
    "local r = redis.pcall('XREVRANGE', ARGV[1] .. 'events', ARGV[3], '-',\n"
    "  'COUNT', ARGV[4])\n"
    "if r.err then return out end\n"
    "for _, entry in ipairs(r) do\n"
    "  local e = entry[2]\n"
    "  if e[2] == 'lines' and e[4] == ARGV[2] then\n"
    "    for i = 8, #e, 2 do\n"
    "      if #out > 2 * " LINES_MAX " then return out end\n"
    "      out[#out + 1] = e[6]\n"
    "      out[#out + 1] = e[i]\n"
    "    end\n"
    "  end\n"
    "end\n"
    "if #r == n and n > 0 then\n"
    "  local ms, seq = string.match(r[n][1], '^(%d+)-(%d+)$')\n"
    "  if seq == '0' then\n"
    "    out[1] = string.format('%d', tonumber(ms) - 1)\n"
    "  else\n"
    "    out[1] = ms .. '-' .. string.format('%d', tonumber(seq) - 1)\n"
    "  end\n"
    "end\n"
    "return out\n";

static const char top[] =
    "local P, least = ARGV[1], tonumber(ARGV[5])\n"
    "local r = redis.call('SCAN', ARGV[3], 'MATCH', ARGV[2], 'COUNT',\n"
    "  ARGV[4])\n"
    "local out, skip = {r[1]}, #P + 7\n"
    "for _, key in ipairs(r[2]) do\n"
    "  local s = redis.pcall('HGET', key, 'score')\n"
    "  if type(s) == 'string' and (tonumber(s) or -1) >= least then\n"
    "    local addr = string.sub(key, skip)\n"
    "    local k = redis.pcall('GET', P .. 'strikes:' .. addr)\n"
    "    out[#out + 1] = addr\n"
    "    out[#out + 1] = tonumber(k) or 0\n"
    "    out[#out + 1] = redis.call('HGETALL', key)\n"
    "  end\n"
    "end\n"
    "return out\n";

const char *
rscript_text(enum rscript which)
{
	static const char *const texts[RSCRIPT_COUNT] = {
		[RSCRIPT_HITS] = hits,
		[RSCRIPT_READ] = read_keys,
		[RSCRIPT_SCAN] = scan,
		[RSCRIPT_ALLOW_SCAN] = allow_scan,
		[RSCRIPT_BLOCK] = block,
		[RSCRIPT_LIFT] = lift,
		[RSCRIPT_LIFT_ALL] = lift_all,
		[RSCRIPT_ALLOW] = allow,
		[RSCRIPT_FETCH] = fetch,
		[RSCRIPT_TELL] = tell,
		[RSCRIPT_LINES] = lines,
		[RSCRIPT_TOP] = top,
	};

	return texts[which];
}
