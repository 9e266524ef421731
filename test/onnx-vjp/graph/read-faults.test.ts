import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ModelError } from "../../../src/onnx-vjp/errors.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { int } from "../../../src/onnx-vjp/graph/ir.ts";
import { readModelFile } from "../../../src/onnx-vjp/graph/model-file.ts";
import { readOnnx } from "../../../src/onnx-vjp/graph/read-onnx.ts";
import { writeOnnx } from "../../../src/onnx-vjp/graph/write-onnx.ts";

const faults = fileURLToPath(new URL("../../fixtures/faults/onnx/", import.meta.url));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-read-faults-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("pieces of size 0 are refused: ONNX Runtime would divide by it and end the process", async () => {
  const b = new GraphBuilder();
  const x = b.input("x", [1, 4]);
  b.graph.constants.set("none", constantOf("int64", [], [0]));
  const pieces = b.op("SplitToSequence", [x, "none"], { axis: int(1) });
  b.output(b.op("ConcatFromSequence", [pieces], { axis: int(1) }), { dims: [1, 4] });
  const reading = readOnnx(writeOnnx(b.graph).model, "model.onnx");
  await expect(reading).rejects.toThrow(ModelError);
  await expect(reading).rejects.toThrow(/SplitToSequence.* splits into pieces of size 0/);
});

// What these models are named for, and what a person can find in the file by.
test.each([
  ["tensor-attribute-empty", /attribute "\w+" of .* is said to be a tensor and holds none/],
  ["graph-attribute-empty", /attribute "\w+" of .* is said to be a graph and holds none/],
  ["dim-2p53", /"image" is declared with a side of \d{16}, which no tensor has/],
  [
    "dim-negative",
    /"image" is declared with a side of -1, which no tensor has \(axis 2\)\. A side that is open has a name/,
  ],
  ["weight-dims-negative", /the weight "\w+" has the shape \[.*-.*\], which no tensor has/],
  ["weight-dims-2p62", /the weight "\w+" has the shape \[.*4611686018427387904.*\], which no tensor has/],
  ["weight-dims-huge-times-zero", /the weight "\w+" has the shape \[.*\], which no tensor has/],
  ["external-folder", /keeps its weights in "sub", which is not a file.*The weight is "\w+"/],
])("%s is refused with what is wrong and where", async (name, message) => {
  const path = join(folder, "model.onnx");
  await copyFile(`${faults}${name}.onnx`, path);
  await mkdir(join(folder, "sub"));
  const reading = readModelFile(path);
  await expect(reading).rejects.toThrow(ModelError);
  await expect(reading).rejects.toThrow(message);
});
