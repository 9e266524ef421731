import { crossEntropy } from "../probe/cross-entropy.ts";
import { accuracyOf } from "../probe/labels.ts";
import { innerProduct, scaled } from "../probe/matrix.ts";
import { solveRidge } from "../probe/ridge.ts";
import { normalizeColumns } from "./cosine.ts";
import { type Objective, requireTau } from "./objective.ts";

/**
 * CLP-DD (arXiv 2605.07194): the ridge probe W of the synthetic set, in closed form, must classify the real
 * batch: mean cross entropy of softmax(Z W/τ); with `anchors: "cosine"` the columns of W are L2-normalized
 * first. Gradients for features, labels and temperature.
 */
export const clp: Objective = {
  needs: { batch: true, classMeans: false },
  learns: { labels: true, temperature: true },
  async evaluate({ Zs, Ys, batch, lambda, tau, anchors, gemm }) {
    requireTau(tau);
    const probe = await solveRidge(Zs, Ys, { lambda, gemm });
    const normalized = anchors === "cosine" ? normalizeColumns(probe.weight) : undefined;
    const weight = normalized?.values ?? probe.weight;
    const scores = scaled(await batch.Z.multiply(weight), 1 / tau);
    const { loss, gradient } = crossEntropy(scores, batch.y);
    const byWeight = scaled(await batch.Z.transposeMultiply(gradient), 1 / tau);
    const { dZs, dYs } = await probe.adjoint(normalized?.pullback(byWeight) ?? byWeight);
    return {
      loss,
      dZs,
      dYs,
      dTau: -innerProduct(gradient, scores) / tau,
      batchAccuracy: accuracyOf(scores, batch.y),
    };
  },
};
