// The SDKs for Node, for the matrix: a JSON object a line comes in, {sdk, url, key, stream, body}, and one goes out, {answer} or
// {error: {status, name, text, retry_after, said}}. The answer is what the SDK parsed; streams are put together by the SDK where
// it can do that. The first line out says the versions.
import fs from "node:fs";
import readline from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import OpenAI from "openai";

const known = new Map();

function client(job) {
    const name = `${job.sdk} ${job.url}`;
    if (!known.has(name)) {
        const common = { apiKey: job.key, maxRetries: 0, timeout: 20000 };
        if (job.sdk === "anthropic") known.set(name, new Anthropic({ ...common, baseURL: job.url }));
        else if (job.sdk === "google") known.set(name, new GoogleGenAI({ apiKey: job.key, httpOptions: { baseUrl: job.url } }));
        else known.set(name, new OpenAI({ ...common, baseURL: `${job.url}/v1` }));
    }
    return known.get(name);
}

async function openai(sdk, job, heard) {
    if (!job.stream) return sdk.chat.completions.create(job.body);
    const stream = sdk.chat.completions.stream(job.body);
    stream.on("content", (delta) => heard(delta));
    return stream.finalChatCompletion();
}

async function responses(sdk, job, heard) {
    if (!job.stream) return sdk.responses.create(job.body);
    const stream = sdk.responses.stream(job.body);
    stream.on("response.output_text.delta", (e) => heard(e.delta));
    let bad = null;
    stream.on("response.failed", (e) => (bad = e));
    stream.on("error", () => {});
    const answer = await stream.finalResponse();
    if (bad) throw Object.assign(new Error(JSON.stringify(bad)), { name: "response.failed" });
    return answer;
}

async function anthropic(sdk, job, heard) {
    if (!job.stream) return sdk.messages.create(job.body);
    const stream = sdk.messages.stream(job.body);
    stream.on("text", (text) => heard(text));
    return stream.finalMessage();
}

async function google(sdk, job, heard) {
    if (!job.stream) return JSON.parse(JSON.stringify(await sdk.models.generateContent(job.body)));
    let last = null;
    const parts = [];
    for await (const chunk of await sdk.models.generateContentStream(job.body)) {
        last = JSON.parse(JSON.stringify(chunk));
        for (const part of last.candidates?.[0]?.content?.parts ?? []) {
            parts.push(part);
            if (!part.thought) heard(part.text ?? "");
        }
    }
    if (!last?.candidates?.[0]?.finishReason) throw new Error("the stream ended without a finishReason");
    last.candidates[0].content = { parts };
    return last;
}

async function run(job) {
    let said = "";
    try {
        const answer = await { openai, responses, anthropic, google }[job.sdk](client(job), job, (text) => (said += text ?? ""));
        return { answer };
    } catch (e) {
        const retry = e.headers?.get?.("retry-after") ?? null;
        const name = e.constructor.name === "Error" ? e.name : e.constructor.name;
        return { error: { status: e.status ?? null, name, text: String(e.message), retry_after: retry, said } };
    }
}

const version = (name) => JSON.parse(fs.readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

say(Object.fromEntries(["openai", "@anthropic-ai/sdk", "@google/genai"].map((name) => [name, version(name)])));
for await (const line of readline.createInterface({ input: process.stdin })) say(await run(JSON.parse(line)));
