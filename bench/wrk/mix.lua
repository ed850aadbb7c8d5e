-- wrk with what a day looks like: three of four requests stream, bodies of 300 bytes to 30 KB, two models in turn. For soak runs
-- and for looking at dashboards; the comparison of `make bench` uses chat.lua.
--
--     MODELS=gpt-4o-mini,gpt-4o KEY=... wrk -c 64 -d 60s -s bench/wrk/mix.lua http://127.0.0.1:8080
local key = os.getenv("KEY") or "rw-bench-key-0123456789abcdef"
local models = {}
for name in string.gmatch(os.getenv("MODELS") or "gpt-4o-mini", "[^,]+") do
    models[#models + 1] = name
end
local sizes = { 300, 600, 600, 1200, 3000, 8000, 30000 }
local made, at = {}, 0

function init(args)
    local headers = {
        ["Content-Type"] = "application/json",
        ["Authorization"] = "Bearer " .. key,
        ["User-Agent"] = "OpenAI/Python 1.40.0",
    }
    for i = 1, 4 * #sizes * #models do
        local body = string.format(
            '{"model":"%s","stream":%s,"messages":[{"role":"user","content":"%s"}]}',
            models[i % #models + 1], tostring(i % 4 ~= 0), string.rep("word ", math.floor(sizes[i % #sizes + 1] / 5)))
        made[i] = wrk.format("POST", "/v1/chat/completions", headers, body)
    end
end

function request()
    at = at % #made + 1
    return made[at]
end
