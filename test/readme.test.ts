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

/** Runs a program in the folder; returns the last line that it prints. */
function lastLineOf(program: string, cwd: string): string | undefined {
  writeFileSync(join(cwd, "example.mjs"), program);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["example.mjs"], {
    ...{ cwd, encoding: "utf8", env: { ...process.env, CLP_DD_CACHE: join(folder, "cache") } },
  });
  rmSync(join(cwd, "example.mjs"));
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout.trim().split("\n").at(-1);
}

/** What the TypeScript compiler has to say about programs under `strict`, with this package's types. */
function strictErrors(programs: readonly string[]): string {
  const names = programs.map((_, i) => `example-${i}.mts`);
  for (const [i, name] of names.entries()) writeFileSync(join(folder, name), programs[i]);
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "es2022",
    module: "nodenext",
    types: ["node"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: names }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { cwd: folder, encoding: "utf8" });
  return stdout;
}

it("the README's programs run as they stand: one distills and classifies a photo, one differentiates; so does the set's own", async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  await makePhotos(join(folder, "photos"), 6);
  expect(examples.map((program) => lastLineOf(program, folder))).toEqual(["red", "true"]);

  // The set that they made has a README with a program of its own.
  const own = join(folder, "distilled");
  const [, program] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(own, "README.md"), "utf8"))!;
  expect(lastLineOf(program!, own)).toBe("blue");

  expect(strictErrors([...examples, program!])).toBe("");
  // The check sees the package's types: a wrong use is an error.
  expect(strictErrors([examples[0].replace("size: 64", 'size: "64"')])).toMatch(/error TS/);
}, 240_000);

it("the version in manifests is the package's", () => {
  expect(version).toBe(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version);
});
