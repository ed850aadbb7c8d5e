// A thin OpenAI face over llama.cpp (node-llama-cpp, prebuilt): the real model of `make run-llm`, `demo-llm`.
//
//   node server.mjs --model FILE.gguf --port PORT [--modules DIR] [--context 2048]
//
// Serves /v1/models, /v1/chat/completions and /v1/completions on loopback, streaming and not: seed,
// temperature, top_p, max_tokens (max_completion_tokens), stop, usage and stream_options.include_usage. Each
// token leaves when it is made. One thread and one request at a time, each from an empty context: on a shared
// machine more threads are slower, and the same request with the same seed gives the same text, whoever asks.
import http from "node:http";
import path from "node:path";
import {parseArgs} from "node:util";
import {pathToFileURL} from "node:url";

const {values: arg} = parseArgs({options: {
    model: {type: "string"},
    port: {type: "string", default: "0"},
    modules: {type: "string", default: "build/llm/node_modules"},
    context: {type: "string", default: "2048"}
}});
const library = path.resolve(arg.modules, "node-llama-cpp/dist/index.js");
const {getLlama, resolveChatWrapper} = await import(pathToFileURL(library));

const BODY_BYTES_MAX = 8 << 20;
const name = path.basename(arg.model, ".gguf");
const quiet = {progressLogs: false, logLevel: "error"};
const llama = await getLlama({build: "never", gpu: false, maxThreads: 1, ...quiet});
const model = await llama.loadModel({modelPath: arg.model});
const context = await model.createContext({sequences: 1, contextSize: Number(arg.context), threads: 1});
const sequence = context.getSequence();
const wrapper = resolveChatWrapper(model);

class Refusal extends Error {
    constructor(status, message, param = null) {
        super(message);
        this.status = status;
        this.param = param;
    }
}

// ---- prompts ----

function textOf(content) {
    if (content == null) return "";
    if (typeof content === "string") return content;
    return content.filter((part) => part.type === "text").map((part) => part.text).join("");
}

function chatTokens(messages) {
    if (!Array.isArray(messages) || !messages.length) throw new Refusal(400, "messages must be a list", "messages");
    const chatHistory = messages.map(({role, content}) => {
        if (role === "assistant") return {type: "model", response: [textOf(content)]};
        const type = role === "system" || role === "developer" ? "system" : "user";
        return {type, text: textOf(content)};
    });
    chatHistory.push({type: "model", response: [""]});
    const {contextText, stopGenerationTriggers} = wrapper.generateContextState({chatHistory});
    // A trigger is a text or a special token; the special ones end the answer as end-of-generation anyway.
    const texts = stopGenerationTriggers.filter((t) => t.values.every((v) => v?.type !== "specialToken"));
    return {tokens: contextText.tokenize(model.tokenizer), stops: texts.map((t) => t.toString())};
}

function promptTokens(prompt) {
    if (typeof prompt !== "string") throw new Refusal(400, "prompt must be a string", "prompt");
    return {tokens: model.tokenize(prompt), stops: []};
}

// ---- one answer ----

// How many characters at the end of `text` may be the beginning of a stop string and must not leave yet.
function heldBack(text, stops) {
    let held = 0;
    for (const stop of stops)
        for (let n = Math.min(stop.length - 1, text.length); n > held; n--)
            if (text.endsWith(stop.slice(0, n))) { held = n; break; }
    return held;
}

// Yields pieces of text; returns {finish, made} at the end. A character whose bytes are not all there yet is
// held back.
async function* generate({tokens, stops}, options, gone) {
    const made = [];
    let sent = 0, finish = "length", text = "";
    await sequence.clearHistory();
    if (options.max > 0) {
        for await (const token of sequence.evaluate(tokens, options.sampling)) {
            if (gone()) return {finish: null, made: made.length};
            if (model.isEogToken(token)) { finish = "stop"; break; }
            made.push(token);
            text = model.detokenize(made, false, tokens.slice(-1));
            const found = stops.map((s) => text.indexOf(s, Math.max(0, sent - s.length)));
            const at = Math.min(...found.filter((i) => i >= 0));
            if (at < Infinity) { text = text.slice(0, at); finish = "stop"; break; }
            const whole = text.replace(/\uFFFD+$/, "");
            const free = whole.length - heldBack(whole, stops);
            if (free > sent) { yield whole.slice(sent, free); sent = free; }
            if (made.length >= options.max) break;
        }
    }
    if (text.length > sent) yield text.slice(sent);
    return {finish, made: made.length};
}

function optionsOf(body) {
    const number = (key, low, high, fallback) => {
        const value = body[key] ?? fallback;
        if (typeof value === "number" && value >= low && value <= high) return value;
        throw new Refusal(400, `${key} is out of range`, key);
    };
    const seed = body.seed ?? Math.floor(Math.random() * 2 ** 31);
    const temperature = number("temperature", 0, 2, 0.8), topP = number("top_p", 0, 1, 1);
    const sampling = {temperature, topP, seed: Number(seed) >>> 0};
    const limit = body.max_completion_tokens != null ? "max_completion_tokens" : "max_tokens";
    return {sampling, max: number(limit, 0, Number(arg.context), 64)};
}

function shapesOf(chat, id, created, streamed) {
    const object = chat ? (streamed ? "chat.completion.chunk" : "chat.completion") : "text_completion";
    const base = {id, object, created, model: name, system_fingerprint: "llama.cpp"};
    const choice = (fields, finish) =>
        ({...base, choices: [{index: 0, ...fields, logprobs: null, finish_reason: finish}]});
    const said = (content) => ({role: "assistant", content, refusal: null});
    return {
        base,
        role: () => choice({delta: said("")}, null),
        piece: (text) => choice(chat ? {delta: {content: text}} : {text}, null),
        last: (finish) => choice(chat ? {delta: {}} : {text: ""}, finish),
        whole: (text, finish) => choice(chat ? {message: said(text)} : {text}, finish)
    };
}

async function complete(chat, body, reply, gone) {
    const prompt = chat ? chatTokens(body.messages) : promptTokens(body.prompt);
    const options = optionsOf(body);
    if (prompt.tokens.length + options.max > Number(arg.context))
        throw new Refusal(400, "the prompt and max_tokens exceed the context");
    prompt.stops.push(...[body.stop ?? []].flat());
    const streamed = body.stream === true, askedUsage = body.stream_options?.include_usage === true;
    const now = Date.now();
    const made = shapesOf(chat, `chatcmpl-${now.toString(36)}`, Math.floor(now / 1000), streamed);
    const send = (event) => {
        const shown = askedUsage ? {...event, usage: event.usage ?? null} : event;
        reply.write(`data: ${JSON.stringify(shown)}\n\n`);
    };

    let text = "", step;
    if (streamed) {
        reply.writeHead(200, {"content-type": "text/event-stream; charset=utf-8"});
        if (chat) send(made.role());
    }
    const pieces = generate(prompt, options, gone);
    while (!(step = await pieces.next()).done) {
        text += step.value;
        if (streamed) send(made.piece(step.value));
    }
    const {finish, made: count} = step.value;
    const asked = prompt.tokens.length;
    const usage = {prompt_tokens: asked, completion_tokens: count, total_tokens: asked + count};
    if (gone()) return;
    if (!streamed) return answer(reply, 200, {...made.whole(text, finish), usage});
    send(made.last(finish));
    if (askedUsage) send({...made.base, choices: [], usage});
    reply.end("data: [DONE]\n\n");
}

// ---- HTTP ----

function answer(reply, status, value) {
    const bytes = Buffer.from(JSON.stringify(value));
    reply.writeHead(status, {"content-type": "application/json", "content-length": bytes.length});
    reply.end(bytes);
}

function refuse(reply, {status = 500, message, param = null}) {
    const type = status < 500 ? "invalid_request_error" : "server_error";
    if (reply.headersSent) return reply.destroy();
    answer(reply, status, {error: {message, type, param, code: null}});
}

async function bodyOf(request) {
    const parts = [];
    let length = 0;
    for await (const part of request) {
        if ((length += part.length) > BODY_BYTES_MAX) throw new Refusal(413, "the body is too large");
        parts.push(part);
    }
    try {
        return JSON.parse(Buffer.concat(parts).toString());
    } catch {
        throw new Refusal(400, "the body is not JSON");
    }
}

let turn = Promise.resolve();  // the queue: each request waits for the one before it

async function serve(request, reply) {
    const gone = () => reply.destroyed || request.socket.destroyed;
    const where = request.url.split("?")[0];
    if (request.method === "GET" && where === "/v1/models")
        return answer(reply, 200, {object: "list", data: [{id: name, object: "model", created: 0, owned_by: "local"}]});
    const chat = where === "/v1/chat/completions";
    if (request.method !== "POST" || !(chat || where === "/v1/completions"))
        throw new Refusal(404, `no such route: ${where}`);
    const body = await bodyOf(request);
    const mine = turn.then(() => gone() ? undefined : complete(chat, body, reply, gone));
    turn = mine.catch(() => {});
    return mine;
}

const server = http.createServer((request, reply) => {
    serve(request, reply).catch((error) => refuse(reply, error));
});
server.listen(Number(arg.port), "127.0.0.1", () => {
    console.log(`model ${name} at http://127.0.0.1:${server.address().port}/v1`);
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
