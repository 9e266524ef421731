/**
 * Answers the questions of bench/lib/peer.ts, a line of JSON in, a line of JSON out, by way of a page in a headless
 * Chromium: WebAssembly threads need a cross-origin isolated page, and neither TensorFlow.js nor jax-js starts any
 * in Node.
 *
 *   node serve.js LIBRARY MODULES      tfjs.js, jax.js or ort.js beside this file; the node_modules folder that has it
 *
 * CHROMIUM names another browser than `chromium`. In a question, `args.files` names files by a short name: the page
 * reads and writes them as /data/NAME.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const [library, modules] = process.argv.slice(2);
const own = fileURLToPath(new URL(".", import.meta.url));
const kinds = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".html": "text/html",
  ".wasm": "application/wasm",
  ".json": "application/json",
};
const isolated = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
};
/** The page asks again after this many milliseconds without a question. */
const patience = 30_000;

let files = {};
const questions = [];
/** The page's open request for a question. */
let waiting;

function send(response, status, type, body = "") {
  response.writeHead(status, { ...isolated, "Content-Type": type });
  response.end(body);
}

function giveQuestion() {
  if (waiting === undefined || questions.length === 0) return;
  clearTimeout(waiting.timer);
  send(waiting.response, 200, kinds[".json"], questions.shift());
  waiting = undefined;
}

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

async function answer(request, response) {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  const [, place, ...rest] = path.split("/");
  const name = normalize(rest.join("/"));
  if (name.startsWith("..")) return send(response, 403, "text/plain");
  if (place === "question") {
    const timer = setTimeout(() => {
      waiting = undefined;
      send(response, 204, "text/plain");
    }, patience);
    waiting = { response, timer };
    return giveQuestion();
  }
  if (place === "answer") {
    process.stdout.write(`${await bodyOf(request)}\n`);
    return send(response, 204, "text/plain");
  }
  if (place === "data" && request.method === "POST") {
    await writeFile(files[name], await bodyOf(request));
    return send(response, 204, "text/plain");
  }
  const folders = { page: own, modules };
  const file = place === "data" ? files[name] : folders[place] && join(folders[place], name);
  const content = file && (await readFile(file).catch(() => undefined));
  if (content === undefined) return send(response, 404, "text/plain");
  return send(response, 200, kinds[extname(file)] ?? "application/octet-stream", content);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => send(response, 500, "text/plain", String(error)));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

const profile = mkdtempSync(join(tmpdir(), "clp-dd-browser-"));
process.on("exit", () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
const browser = spawn(
  process.env.CHROMIUM ?? "chromium",
  [
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    // The browser ends when this pipe does: also when this process is killed.
    "--remote-debugging-pipe",
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
    `--user-data-dir=${profile}`,
    `http://127.0.0.1:${server.address().port}/page/page.html?library=${library}`,
  ],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);
const gone = new Promise((resolve) => {
  browser.on("error", (error) => resolve(`the browser did not start: ${error.message}`));
  browser.on("exit", (code, signal) => resolve(`the browser ended (${code ?? signal})`));
});
let ending = false;
gone.then((reason) => {
  if (!ending) console.error(reason);
  process.exit(ending ? 0 : 1);
});

for await (const line of createInterface({ input: process.stdin })) {
  files = { ...files, ...JSON.parse(line).args.files };
  questions.push(line);
  giveQuestion();
}
ending = true;
browser.kill();
