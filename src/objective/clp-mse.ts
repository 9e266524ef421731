import { accuracyOf, centeredOneHot } from "../probe/labels.ts";
import { innerProduct, scaled, subtract } from "../probe/matrix.ts";
import { solveRidge } from "../probe/ridge.ts";
import type { Objective } from "./objective.ts";

/**
 * The closed form with a squared outer loss, as in KIP (arXiv 2011.00050) and FRePo (2206.00719): the mean
 * over batch and classes of (Z W − Y)², Y one-hot minus 1/C. Gradients for features and labels.
 */
export const clpMse: Objective = {
  needs: { batch: true, classMeans: false },
  learns: { labels: true, temperature: false },
  async evaluate({ Zs, Ys, batch, lambda, gemm }) {
    const probe = await solveRidge(Zs, Ys, { lambda, gemm });
    const scores = await batch.Z.multiply(probe.weight);
    const error = subtract(scores, centeredOneHot(batch.y, Ys.cols));
    const count = error.data.length;
    const byWeight = scaled(await batch.Z.transposeMultiply(error), 2 / count);
    return {
      loss: innerProduct(error, error) / count,
      ...(await probe.adjoint(byWeight)),
      batchAccuracy: accuracyOf(scores, batch.y),
    };
  },
};
