#!/bin/bash
# Lua: tables, strings, closures, coroutines, and collections in between.
set -u
. "$(dirname "$0")/lib"
needs lua5.4
cat >program.lua <<'END'
collectgarbage("generational")
local words = {}
for i = 1, 60000 do
    local key = ("%d/%s"):format(i % 971, ("x"):rep(i % 60))
    words[key] = (words[key] or "") .. i % 10
    if i % 20000 == 0 then
        for k in pairs(words) do if #k % 3 == 0 then words[k] = nil end end
        collectgarbage(i % 40000 == 0 and "incremental" or "generational")
    end
end
local keys = {}
for k, v in pairs(words) do keys[#keys + 1] = k .. "=" .. v end
table.sort(keys)
local sum = 0
for c in table.concat(keys, ";"):gmatch("%d+") do sum = (sum * 31 + tonumber(c)) % 1000000007 end
print(#keys, sum)
local threads = {}
for i = 1, 2000 do
    threads[i] = coroutine.wrap(function() local t = {} while true do t[#t + 1] = {i} coroutine.yield(#t) end end)
end
local steps = 0
for _ = 1, 10 do for _, thread in ipairs(threads) do steps = steps + thread() end end
print(steps)
print(pcall(string.rep, "x", 1 << 46))
print(select(2, pcall(error, {code = 7})).code)
os.exit(3, true)
END
in_all lua lua5.4 program.lua
did lua 3 '^110000$' '^7$'
exit $bad
