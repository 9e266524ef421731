import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { basename, dirname, extname, join, resolve, sep } from "node:path";
import { chromium, type Page } from "playwright-core";
import { chromiumPath } from "./chromium.ts";
import { cloneFolder } from "./page-bundle.ts";

/** What a test that is skipped says. */
export const withoutChromium =
  chromiumPath === undefined
    ? ": skipped, there is no Chromium (Debian: apt-get install chromium; or set CHROMIUM to one)"
    : "";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
  ".json": "application/json",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
};

/** Serves folders on the loopback interface, each under its name; "/" is an empty page that imports what they hold. */
async function serve(
  folders: Readonly<Record<string, string>>,
  imports: Readonly<Record<string, string>>,
): Promise<{ server: Server; url: string }> {
  const page = `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>`;
  const server = createServer(async (request, response) => {
    const [, name, ...rest] = decodeURIComponent(
      new URL(request.url ?? "/", "http://localhost").pathname,
    ).split("/");
    // Threads of WebAssembly need a page of its own.
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    if (name === "") return response.setHeader("Content-Type", "text/html").end(page);
    const root = folders[name ?? ""];
    const path = root === undefined ? undefined : resolve(root, ...rest);
    const bytes = path?.startsWith(resolve(root!) + sep)
      ? await readFile(path).catch(() => undefined)
      : undefined;
    if (bytes === undefined) return response.writeHead(404).end();
    response.setHeader("Content-Type", types[extname(path!)] ?? "application/octet-stream").end(bytes);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** The folders of transformers.js and its own onnxruntime-web, for a page. */
function libraries() {
  const transformers = join(cloneFolder, "node_modules/@huggingface/transformers/dist");
  const require = createRequire(join(transformers, "transformers.web.js"));
  return { transformers, ort: dirname(require.resolve("onnxruntime-web/webgpu")), common: commonOf(require) };
}

const commonOf = (require: NodeJS.Require) => join(dirname(require.resolve("onnxruntime-common")), "../esm");

/**
 * Runs `use` on an empty page of a headless Chromium that may import "@huggingface/transformers", and fetch files of
 * `folders`. Nothing outside of the loopback interface is reached.
 */
export async function inChromium<Result>(
  folders: Readonly<Record<string, string>>,
  use: (page: Page) => Promise<Result>,
  args: readonly string[] = [],
): Promise<Result> {
  const { transformers, ort, common } = libraries();
  const { server, url } = await serve(
    { ...folders, transformers, ort, common },
    {
      "@huggingface/transformers": "/transformers/transformers.web.js",
      "onnxruntime-web/webgpu": "/ort/ort.webgpu.bundle.min.mjs",
      "onnxruntime-common": "/common/index.js",
    },
  );
  const browser = await chromium.launch({
    executablePath: chromiumPath!,
    args: ["--no-sandbox", "--disable-background-networking", ...args],
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    await page.route(
      (target) => target.origin !== url && target.protocol !== "data:" && target.protocol !== "blob:",
      (route) => route.abort(),
    );
    await page.goto(url);
    return await use(page);
  } finally {
    await browser.close();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
}

/** What transformers.js's pipeline says of pictures, in a page. */
export interface PageClassification {
  readonly labels: readonly string[];
  readonly scores: readonly number[];
  readonly seconds: number;
}

/**
 * Classifies pictures in Chromium with transformers.js's pipeline.
 * @param model folder of an export; @param pictures names of files in `folder`
 */
export function classifyInChromium(
  model: string,
  folder: string,
  pictures: readonly string[],
  {
    device = "wasm",
    args = [],
  }: { readonly device?: "wasm" | "webgpu"; readonly args?: readonly string[] } = {},
): Promise<PageClassification> {
  const task = { model: basename(model), pictures, device };
  const support = join(cloneFolder, "test/support");
  return inChromium(
    { models: dirname(model), pictures: folder, support },
    // As a text: the test runner rewrites imports of functions that it has compiled.
    (page) =>
      page.evaluate<PageClassification>(
        `import("/support/page-classifier.js").then(({ classifyAll }) => classifyAll(${JSON.stringify(task)}))`,
      ),
    args,
  );
}
