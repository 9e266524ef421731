import { expect, test } from "vitest";
import { crossEntropy } from "../../src/probe/cross-entropy.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { accuracyOf } from "../../src/probe/labels.ts";
import { fitFullLogistic, fitLogistic, mostLogisticWork } from "../../src/probe/logistic.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

const [n, d, classes] = [300, 6, 3];
const random = seededRandom(2, "logistic");
const labels = Int32Array.from({ length: n }, (_, i) => i % classes);
/** Each class around a corner of its own, overlapping. */
const features = Float32Array.from(
  { length: n * d },
  (_, k) => (k % d === labels[Math.floor(k / d)] ? 1.5 : 0) + random.normal(),
);
const Z = matrix(n, d, Float64Array.from(features));

test("at the solution the gradient is zero: Zᵀ(softmax − one-hot)/n + l2 · W", async () => {
  const l2 = 0.01;
  const W = await fitLogistic(Z, labels, matrix(d, classes), l2, jsGemm);
  const { gradient } = crossEntropy(await jsGemm.multiply(Z, W), labels);
  const { data } = await jsGemm.multiply(Z, gradient, { transA: true });
  for (const [i, g] of data.entries()) expect(Math.abs(g + l2 * W.data[i])).toBeLessThan(2e-3);
});

test("with one feature and two classes it is the solution of the scalar equation", async () => {
  // Three of four are of class 0 where z = 1: without a penalty, the logit difference is log 3.
  const z = matrix(4, 1, Float64Array.of(1, 1, 1, 1));
  const W = await fitLogistic(z, Int32Array.of(0, 0, 0, 1), matrix(1, 2), 1e-9, jsGemm);
  expect(W.data[0] - W.data[1]).toBeCloseTo(Math.log(3), 2);
});

test("on all training features it classifies as well as the classes allow", async () => {
  const train = featuresInMemory(features, labels);
  const probe = await fitFullLogistic(train, classes, featureMap({ normalization: "none" }), jsGemm);
  const accuracy = accuracyOf(await jsGemm.multiply(Z, probe!.weight), labels);
  // Nearest corner, the best rule for these classes.
  const nearest = Array.from({ length: n }, (_, i) => {
    const row = features.subarray(i * d, i * d + classes);
    return row.indexOf(Math.max(...row)) === labels[i];
  });
  expect(accuracy).toBeGreaterThan(nearest.filter(Boolean).length / n - 0.02);
});

test("what would take long is left out", async () => {
  const large = { ...featuresInMemory(features, labels), count: mostLogisticWork };
  expect(
    await fitFullLogistic(large, classes, featureMap({ normalization: "none" }), jsGemm),
  ).toBeUndefined();
});
