import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { version } from "../src/version.ts";
import { makePhotos } from "./support/photos.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
// Inside of the package, so that "clp-dd" is the package itself.
const folder = join(root, ".readme-example");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const examples = [
  ...readFileSync(join(root, "README.md"), "utf8").matchAll(/<!-- example -->\n```js\n([\s\S]*?)```/g),
].map(([, program]) => program!);

it("the README's programs run as they stand: one distills and classifies a photo, one differentiates", async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  await makePhotos(join(folder, "photos"), 6);
  const lastLines = examples.map((program) => {
    writeFileSync(join(folder, "example.mjs"), program);
    const { status, stdout, stderr } = spawnSync(process.execPath, ["example.mjs"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, CLP_DD_CACHE: join(folder, "cache") },
    });
    expect(stderr).toBe("");
    expect(status).toBe(0);
    return stdout.trim().split("\n").at(-1);
  });
  expect(lastLines).toEqual(["red", "true"]);
}, 120_000);

it("the version in manifests is the package's", () => {
  expect(version).toBe(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version);
});
