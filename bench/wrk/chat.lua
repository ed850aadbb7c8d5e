-- wrk against an OpenAI-like endpoint: the request of bench/instr/ask.h, so that all loads of bench/ send the same bytes.
--
--     MODEL=gpt-4o-mini KEY=... [BODY=600] [HEAD=sdk] [STREAM=1] [ENTRIES=10000] wrk -c 64 -d 10s -s bench/wrk/chat.lua http://127.0.0.1:8080
--
-- ENTRIES: so many different bodies of that length, in turn. The last line is a JSON object of what wrk saw.
local model = os.getenv("MODEL") or "gpt-4o-mini"
local key = os.getenv("KEY") or "rw-bench-key-0123456789abcdef"
local size = tonumber(os.getenv("BODY") or "600")
local stream = os.getenv("STREAM") == "1"

local front = '{"model":"' .. model .. '","stream":' .. tostring(stream) .. ',"temperature":0.7,"max_tokens":256,'
    .. '"messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"'
local text, tail = "Summarise the following text for me please. ", '"}]}'
local lacks = math.max(0, size - #front - #tail)
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.body = front .. string.sub(string.rep(text, math.ceil(lacks / #text)), 1, lacks) .. tail
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. key
wrk.headers["User-Agent"] = "OpenAI/Python 1.40.0"
wrk.headers["Accept"] = "application/json"
if os.getenv("HEAD") == "sdk" then
    local fields = {
        ["Accept-Encoding"] = "gzip, deflate",
        ["X-Stainless-Lang"] = "python",
        ["X-Stainless-Package-Version"] = "1.40.0",
        ["X-Stainless-OS"] = "Linux",
        ["X-Stainless-Arch"] = "x64",
        ["X-Stainless-Runtime"] = "CPython",
        ["X-Stainless-Runtime-Version"] = "3.11.7",
        ["X-Stainless-Async"] = "false",
        ["x-stainless-retry-count"] = "0",
        ["x-stainless-read-timeout"] = "600",
        ["x-stainless-raw-response"] = "true",
        ["OpenAI-Organization"] = "org-0123456789abcdefghijklmn",
        ["OpenAI-Project"] = "proj_0123456789abcdefghijklmn",
        ["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ["Idempotency-Key"] = "stainless-python-retry-4f5b0e52-7e3f-4d0e-9d0a-1b2c3d4e5f60",
        ["baggage"] = "service=checkout,region=eu-central-1",
    }
    for name, value in pairs(fields) do
        wrk.headers[name] = value
    end
end

local entries, asked, bodies = tonumber(os.getenv("ENTRIES") or "0"), 0, {}
if entries > 0 then
    local plain = wrk.body
    request = function()
        asked = asked % entries + 1
        bodies[asked] = bodies[asked] or wrk.format(nil, nil, nil, string.sub(plain, 1, -#tail - 9) .. string.format("%08d", asked) .. tail)
        return bodies[asked]
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    print(string.format('{"seconds":%.6f,"answers":%d,"bytes":%d,"errors":%d,"p50_us":%.1f,"p99_us":%.1f}',
        summary.duration / 1e6, summary.requests, summary.bytes,
        e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
