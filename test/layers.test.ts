import { spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What `npm run layers` makes of a source folder of the given files. */
describe("the check of the layers", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "layers-"));
    await cp(join(root, ".dependency-cruiser.cjs"), join(folder, ".dependency-cruiser.cjs"));
    await symlink(join(root, "node_modules"), join(folder, "node_modules"), "dir");
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function check(files: Readonly<Record<string, string>>) {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
    }
    const program = join(root, "node_modules", "dependency-cruiser", "bin", "dependency-cruise.mjs");
    const { status, stdout } = spawnSync(
      process.execPath,
      [program, "--config", ".dependency-cruiser.cjs", "src", "--output-type", "err"],
      { cwd: folder, encoding: "utf8" },
    );
    return { status, stdout };
  }

  it("passes imports that run downward", async () => {
    const { status, stdout } = await check({
      "src/onnx-vjp/graph/ir.ts": "export interface Graph { readonly name: string }\n",
      "src/encoder/encoder.ts":
        'import type { Graph } from "../onnx-vjp/graph/ir.ts";\nexport type { Graph };\n',
    });
    expect(stdout).toContain("no dependency violations found");
    expect(status).toBe(0);
  });

  it.each([
    [
      "of the engine from the application, of a type alone",
      {
        "src/onnx-vjp/graph/ir.ts":
          'import type { Encoder } from "../../encoder/encoder.ts";\nexport type { Encoder };\n',
        "src/encoder/encoder.ts": "export interface Encoder { readonly name: string }\n",
      },
      "src/onnx-vjp/graph/ir.ts → src/encoder/encoder.ts",
    ],
    [
      "of a job from the command line",
      {
        "src/jobs/distill.ts": 'import { integer } from "../cli/options.ts";\nexport const n = integer;\n',
        "src/cli/options.ts": "export const integer = Number;\n",
      },
      "src/jobs/distill.ts → src/cli/options.ts",
    ],
    [
      "between two folders of a layer",
      {
        "src/encoder/vit/build.ts": 'import { n } from "../load/folder.ts";\nexport const m = n;\n',
        "src/encoder/load/folder.ts": "export const n = 1;\n",
      },
      "src/encoder/vit/build.ts → src/encoder/load/folder.ts",
    ],
    [
      "of one data set from what all build on",
      {
        "src/data/image-folder.ts": 'import { n } from "./sets/idx.ts";\nexport const m = n;\n',
        "src/data/sets/idx.ts": "export const n = 1;\n",
      },
      "src/data/image-folder.ts → src/data/sets/idx.ts",
    ],
  ])("fails on an upward import %s", async (_, files, arrow) => {
    const { status, stdout } = await check(files as unknown as Record<string, string>);
    expect(stdout).toContain(arrow);
    expect(status).not.toBe(0);
  });

  it("fails on files that import each other, and on a folder that has no layer", async () => {
    const circle = await check({
      "src/probe/a.ts": 'import { b } from "./b.ts";\nexport const a: number = b;\n',
      "src/probe/b.ts": 'import { a } from "./a.ts";\nexport const b: number = a;\n',
      "src/elsewhere/c.ts": 'import { a } from "../probe/a.ts";\nexport const c = a;\n',
    });
    expect(circle.stdout).toContain("no circles: src/probe/a.ts");
    expect(circle.stdout).toContain("every file has a layer: src/elsewhere/c.ts");
    expect(circle.status).not.toBe(0);
  });
});
