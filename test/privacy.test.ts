import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makePhotos } from "./support/photos.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const main = join(root, "dist/cli/main.js");
const library = new URL("../dist/index.js", import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), "clp-dd-privacy-"));
const photos = join(folder, "photos");
beforeAll(() => makePhotos(photos, 6));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Whether a process can be watched from outside: its native libraries are seen, too. */
const canTrace = spawnSync("strace", ["-qq", "-o", "/dev/null", process.execPath, "--version"]).status === 0;

/** Calls by which a process of Linux reaches another machine; and the files that it reads to look up a name. */
const calls = "connect,sendto,sendmsg,sendmmsg,openat,open";
const outward = [
  /sa_family=AF_INET6?,/,
  /sun_path="[^"]*(nscd|resolve|avahi)/,
  /"\/etc\/(resolv\.conf|hosts)"/,
];
const loopback = /inet_addr\("127\.|inet_pton\(AF_INET6, "::1"/;

interface Watched {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Every attempt to look up a name or to reach an address that is not this machine. */
  readonly reached: readonly string[];
  /** Everything that was written to the home folder, but for this tool's own cache. */
  readonly left: readonly string[];
}

/** Runs Node with an empty home, without what marks continuous integration, and watches what it reaches for. */
function watched(name: string, args: readonly string[], variables: Record<string, string> = {}): Watched {
  const home = join(folder, name);
  mkdirSync(home);
  const log = join(folder, `${name}.log`);
  writeFileSync(log, "");
  const hook = new URL("support/no-network.mjs", import.meta.url).href;
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    USERPROFILE: home,
    LOCALAPPDATA: home,
    APPDATA: home,
    ...(canTrace ? {} : { NODE_OPTIONS: `--import=${hook}`, NETWORK_LOG: log }),
    ...variables,
  };
  const [command, before] = canTrace
    ? ["strace", ["-f", "-qq", "-e", `trace=${calls}`, "-o", log, process.execPath]]
    : [process.execPath, []];
  const { status, stdout, stderr } = spawnSync(command, [...before, ...args], {
    cwd: folder,
    encoding: "utf8",
    env,
  });
  const lines = readFileSync(log, "utf8").split("\n").filter(Boolean);
  const reached = canTrace
    ? lines.filter((line) => outward.some((pattern) => pattern.test(line)) && !loopback.test(line))
    : lines;
  const left = readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(home.length + 1))
    .filter((path) => !path.split(/[\\/]/).includes("clp-dd"));
  return { status, stdout, stderr, reached, left };
}

const nothing = { status: 0, reached: [], left: [] };
const tiny = { size: 32, steps: 2, threads: 1 };

describe(`nothing leaves the machine${canTrace ? "" : " (JavaScript and files alone: strace is not there)"}`, () => {
  it("when the command line distils", () => {
    const options = Object.entries(tiny).flatMap(([option, value]) => [`--${option}`, String(value)]);
    const run = watched("command", [main, "distill", photos, "--out", join(folder, "out"), ...options]);
    expect(run, run.stderr).toMatchObject(nothing);
    expect(existsSync(join(folder, "out/manifest.json"))).toBe(true);
  }, 120_000);

  it("when a program distils", () => {
    const request = { data: photos, out: join(folder, "out2"), ...tiny, baselines: false };
    const program = `import { distill } from ${JSON.stringify(library)}; await distill(${JSON.stringify(request)});`;
    const run = watched("program", ["--input-type=module", "-e", program]);
    expect(run, run.stderr).toMatchObject(nothing);
    expect(existsSync(join(folder, "out2/manifest.json"))).toBe(true);
  }, 120_000);

  const inWorker = `
    import { loadEncoder } from ${JSON.stringify(library)};
    import { parentPort } from "node:worker_threads";
    try {
      const encoder = await loadEncoder("efficientnet-lite0", { size: 32, threads: 1 });
      await encoder.release();
      parentPort.postMessage("loaded");
    } catch (error) { parentPort.postMessage(error.message); }
    process.exit();`;
  const startWorker = `
    import { Worker } from "node:worker_threads";
    const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(inWorker)})), { execArgv: [] });
    worker.on("message", (message) => console.log(message));
    worker.on("error", (error) => console.log(error));`;

  it("when a worker thread of a program loads an encoder, and the main thread has imported the package", () => {
    const run = watched("worker", [
      "--input-type=module",
      "-e",
      `import ${JSON.stringify(library)}; ${startWorker}`,
    ]);
    expect(run, run.stderr).toMatchObject({ ...nothing, stdout: "loaded\n" });
  }, 120_000);

  it("when the main thread has not: the jobs' process decides for itself", () => {
    const run = watched("unprepared", ["--input-type=module", "-e", startWorker]);
    expect(run, run.stderr).toMatchObject({ ...nothing, stdout: "loaded\n" });
  }, 120_000);
});

describe("ORT_DISABLE_TELEMETRY", () => {
  const shown = (variables: Record<string, string>) => {
    const module = new URL("../dist/onnx-vjp/runtime/telemetry-off.js", import.meta.url).href;
    const program = `import ${JSON.stringify(module)}; console.log(process.env.ORT_DISABLE_TELEMETRY);`;
    return spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      ...{ encoding: "utf8", env: { PATH: process.env.PATH, ...variables } },
    }).stdout.trim();
  };

  it("is set where the user has not set it", () => {
    expect(shown({})).toBe("1");
    expect(shown({ ORT_DISABLE_TELEMETRY: "" })).toBe("1");
  });

  it("stays as the user has set it", () => {
    expect(shown({ ORT_DISABLE_TELEMETRY: "0" })).toBe("0");
    expect(shown({ ORT_DISABLE_TELEMETRY: "yes" })).toBe("yes");
  });
});

it("the binding is imported by one module alone", () => {
  const files = ["src", "bench"].flatMap((name) =>
    readdirSync(join(root, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const importing = files.filter((file) => /from "onnxruntime-node"/.test(readFileSync(file, "utf8")));
  expect(importing).toEqual([join(root, "src/onnx-vjp/runtime/binding.ts")]);
});
