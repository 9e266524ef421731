import { existsSync } from "node:fs";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { UsageError } from "../../src/errors.ts";

const built = existsSync(fileURLToPath(new URL("../../dist/app/index.html", import.meta.url)));

/** Asks for a path as it stands: `fetch` would resolve its dots. */
const get = (url: string, path: string) =>
  new Promise<{ status: number; headers: NodeJS.Dict<string | string[]> }>((resolve, reject) => {
    request(url, { path }, (response) => {
      response.resume();
      resolve({ status: response.statusCode!, headers: response.headers });
    })
      .on("error", reject)
      .end();
  });

// `npm test` builds the page before.
describe.skipIf(!built)("the server of the page", () => {
  let server: AppServer;
  beforeAll(async () => {
    server = await serveApp(0);
  });
  afterAll(() => server.close());

  it("serves the page and the package's encoder, with the headers that threads need", async () => {
    for (const path of ["/", "/ort/ort-wasm-simd-threaded.wasm", "/models/efficientnet-lite0.json"]) {
      const { status, headers } = await get(server.url, path);
      expect(status).toBe(200);
      expect(headers["cross-origin-opener-policy"]).toBe("same-origin");
      expect(headers["cross-origin-embedder-policy"]).toBe("require-corp");
    }
  });

  it.each([
    "/../package.json",
    "/models/../../package.json",
    "/%2e%2e/%2e%2e/package.json",
    "/models/..%2f..%2fpackage.json",
    "/..%5c..%5cpackage.json",
    "/nothing",
  ])("gives nothing for %s", async (path) => {
    expect((await get(server.url, path)).status).toBe(404);
  });

  it("says what to do where the port is taken", async () => {
    const port = Number(new URL(server.url).port);
    await expect(serveApp(port)).rejects.toThrow(UsageError);
    await expect(serveApp(port)).rejects.toThrow(/in use/);
  });
});
