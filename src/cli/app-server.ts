import { createReadStream, existsSync } from "node:fs";
import { cp, readdir, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../errors.ts";
import { makeFolders } from "../files/disk.ts";

const folderOf = (...relative: readonly string[]): string =>
  relative
    .map((each) => fileURLToPath(new URL(each, import.meta.url)))
    .find((folder) => existsSync(folder)) ?? fileURLToPath(new URL(relative[0]!, import.meta.url));

/** The built page: in the package, seen from a clone's sources, and from what `npm run bench:build` makes of them. */
const appFolder = folderOf("../app/", "../../dist/app/", "../../../dist/app/");
const modelsFolder = folderOf("../../models/", "../../../models/");

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webp": "image/webp",
  ".webmanifest": "application/manifest+json",
};

/** With these a page may use threads: nothing of other origins gets into its memory. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** A server of the page on this machine alone. */
export interface AppServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @throws UsageError where the page was not built, or the port is taken */
export async function serveApp(port: number): Promise<AppServer> {
  requireBuilt();
  const server = createServer((request, response) => void answer(request, response));
  await listening(server, port);
  const { port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${chosen}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Copies the page and its encoder into a folder that any web server can serve. */
export async function copyApp(folder: string): Promise<void> {
  requireBuilt();
  if ((await readdir(folder).catch(() => [])).length > 0) {
    throw new UsageError(`${folder} is not empty. Name a folder that is, or that does not exist yet.`);
  }
  await makeFolders(folder);
  await cp(appFolder, folder, { recursive: true });
  await cp(modelsFolder, join(folder, "models"), { recursive: true });
}

function requireBuilt(): void {
  if (existsSync(join(appFolder, "index.html"))) return;
  throw new UsageError(`${appFolder} holds no page. In a clone, build it first: \`npm run build\`.`);
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE"
          ? new UsageError(
              `The port ${port} is in use, perhaps by another \`clp-dd app\`. Close that, or name another with \`port\`. ` +
                "Projects belong to the address they were made at: at another port there are others.",
            )
          : error,
      );
    });
    // This machine alone: nobody else on the network sees the page.
    server.listen(port, "127.0.0.1", resolve);
  });
}

async function answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = fileOf(url ?? "/");
  const found = path === undefined ? undefined : await stat(path).catch(() => undefined);
  if (path === undefined || !found?.isFile() || (method !== "GET" && method !== "HEAD")) {
    response.writeHead(404, { "Content-Type": "text/plain" }).end("Not found");
    return;
  }
  response.writeHead(200, {
    ...isolation,
    "Content-Type": types[extname(path)] ?? "application/octet-stream",
    "Content-Length": found.size,
    "Cache-Control": "no-cache",
  });
  if (method === "HEAD") {
    response.end();
    return;
  }
  createReadStream(path)
    .on("error", () => response.destroy())
    .pipe(response);
}

/** The file that an address names; undefined for one that leads out of the two folders. */
function fileOf(url: string): string | undefined {
  let path: string;
  try {
    path = decodeURIComponent(new URL(url, "http://127.0.0.1").pathname);
  } catch {
    return undefined;
  }
  if (path.includes("\0") || path.includes("\\")) return undefined;
  const [folder, inside] = path.startsWith("/models/")
    ? [modelsFolder, path.slice("/models".length)]
    : [appFolder, path];
  const file = join(folder, inside === "/" ? "index.html" : inside);
  return file.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? file : undefined;
}
