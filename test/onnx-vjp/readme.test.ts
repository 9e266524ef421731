import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = join(root, "src", "onnx-vjp", "README.md");
let folder = "";
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("the README's program differentiates a model", () => {
  // Inside the package, so that "clp-dd" is the package itself.
  folder = mkdtempSync(join(root, ".readme-example-"));
  const b = new GraphBuilder();
  b.output(b.op("Mul", [b.input("x", ["n", 3]), "x"]), { dims: ["n", 3] }, "y");
  writeFileSync(join(folder, "model.onnx"), writeOnnx(b.graph).model);
  const [, program] = /<!-- example -->\n```js\n([\s\S]*?)```/.exec(readFileSync(page, "utf8"))!;
  writeFileSync(join(folder, "example.mjs"), program!);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["example.mjs"], {
    cwd: folder,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  expect(stdout).toBe("[ 1, 3 ] Float32Array(3) [ 1, 4, 9 ]\n[ 1, 3 ] Float32Array(3) [ 2, 4, 6 ]\n");
});

it("ARCHITECTURE.md names every layer that is checked", () => {
  const text = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const layers = [
    ...readFileSync(join(root, ".dependency-cruiser.cjs"), "utf8").matchAll(/^ {2}"src\/(.*)",$/gm),
  ];
  const folders = layers.map(([, layer]) => layer!).filter((layer) => layer.endsWith("/"));
  expect(folders.length).toBeGreaterThan(15);
  for (const layer of folders) expect(text).toContain(`\`${layer}\``);
  // In the same order.
  const rows = [...text.matchAll(/^\| `([\w/-]+\/)` \|/gm)].map(([, name]) => name!);
  expect(rows.filter((name) => folders.includes(name))).toEqual(folders);
});

it("pages lead to files that are there", () => {
  for (const path of [
    page,
    ...["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/graph.md", "examples/README.md"].map((p) =>
      join(root, p),
    ),
  ]) {
    for (const [, link] of readFileSync(path, "utf8").matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      expect(existsSync(resolve(dirname(path), link!)), `${path}: ${link}`).toBe(true);
    }
  }
});
