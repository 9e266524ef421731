import { expect, test } from "vitest";
import { editsOf, measureEdits } from "../../src/evaluate/measure-edits.ts";
import { edits } from "../../src/images/edits.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";

const map = featureMap({ normalization: "l2" });
const lambda = 1;
const labels = centeredOneHot(Int32Array.of(0, 1), 2);
/** Two directions, one for each class; one test image of each. */
const test_ = featuresInMemory(Float32Array.of(1, 0, 0, 1), Int32Array.of(0, 1));
const right = Float32Array.of(1, 0, 0, 1);
const wrong = Float32Array.of(0, 1, 1, 0);

test("each edit has the accuracy of the probe of its own features; mean and worst are over all", async () => {
  const told: string[] = [];
  const result = await measureEdits(async ({ name }) => (name === "mirrored" ? wrong : right), labels, {
    map,
    lambda,
    test: test_,
    gemm: jsGemm,
    mirror: true,
    onEdit: (name) => told.push(name),
  });
  expect(result.each).toEqual(edits.map(({ name }) => ({ name, top1: name === "mirrored" ? 0 : 1 })));
  expect(result.mean).toBeCloseTo((edits.length - 1) / edits.length, 12);
  expect(result.worst).toBe(0);
  expect(told).toEqual(edits.map(({ name }) => name));
});

test("what is not to be mirrored is not measured mirrored", () => {
  const names = (mirror: boolean) => editsOf(mirror).map(({ name }) => name);
  expect(names(true)).toContain("mirrored");
  expect(names(false)).toEqual(names(true).filter((name) => name !== "mirrored"));
});
