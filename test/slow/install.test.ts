import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makePhotos } from "../support/photos.ts";

// Needs the npm registry, some minutes, and 800 MB of disk.

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clp-dd-install-"));
const [home, project, photos] = ["home", "project", "photos"].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a newcomer has: an empty home folder, no npm configuration, and nothing that says how to install. */
const env = Object.fromEntries(
  Object.entries({
    ...process.env,
    HOME: home,
    USERPROFILE: home,
    npm_config_cache: join(folder, "cache"),
  }).filter(
    ([name]) => name === "npm_config_cache" || !/^(npm_|onnxruntime_|ort_|clp_dd|xdg_|ci$)/i.test(name),
  ),
);
const run = (command: string, args: readonly string[], cwd: string) =>
  execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** Bytes of all files of a folder. */
function size(path: string): number {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}

beforeAll(async () => {
  for (const path of [home, project]) mkdirSync(path);
  await makePhotos(photos, 6);
  // As this project's own configuration has it: no scripts when packing.
  run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], root);
  const packed = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
  run("npm", ["install", join(folder, packed)], project);
});

it("the packed package distils where it was installed with nothing but the npm registry", () => {
  const options = ["--out", "out", "--size", "32", "--steps", "2", "--threads", "1"];
  run("npx", ["--no", "clp-dd", "distill", photos, ...options], project);
  const manifest = JSON.parse(readFileSync(join(project, "out/manifest.json"), "utf8"));
  expect(manifest.classes).toEqual(["blue", "green", "red"]);
  expect(manifest.metrics.fullData.top1).toBeGreaterThan(0.9);
});

it("a program imports it", () => {
  writeFileSync(
    join(project, "program.mjs"),
    'import { loadEncoder } from "clp-dd"; const e = await loadEncoder("efficientnet-lite0"); console.log(e.featureSize);',
  );
  expect(run(process.execPath, ["program.mjs"], project)).toBe("1280\n");
});

it("it has the embedded emoji set, with its licenses", () => {
  const options = ["--out", "icons", "--size", "32", "--steps", "1", "--threads", "2", "--no-baselines"];
  const summary = run("npx", ["--no", "clp-dd", "demo", ...options], project);
  expect(summary).toContain("emoji");
  const { data } = JSON.parse(readFileSync(join(project, "icons/manifest.json"), "utf8"));
  expect(data.counts).toEqual({ train: 6518, test: 1754 });
  const licenses = join(project, "node_modules/clp-dd/dist/data/emoji-icons/LICENSE");
  expect(readFileSync(licenses, "utf8")).toContain("CC-BY-SA-4.0");
});

it("it takes the disk space that the README says", () => {
  const megabytes = Math.round(size(join(project, "node_modules")) / 1e6);
  const [, stated] = /takes (\d+) MB/.exec(readFileSync(join(root, "README.md"), "utf8"))!;
  // Other platforms have other libraries of sharp's, and other versions come.
  expect(Math.abs(megabytes - Number(stated)), `${megabytes} MB are installed`).toBeLessThan(40);
});
