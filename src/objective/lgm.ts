import { crossEntropy, softmaxRows } from "../probe/cross-entropy.ts";
import { matrix } from "../probe/matrix.ts";
import { cosineDistance } from "./cosine.ts";
import type { Objective } from "./objective.ts";

/** Standard deviation of the head that each step draws. */
const headStd = 0.01;

/**
 * Linear gradient matching (LGM, arXiv 2511.16674): for a fresh linear head W ~ N(0, 0.01²), 1 − cos between
 * dCE/dW on the real batch and on the synthetic set. Given the features both gradients are closed forms,
 * Zᵀ(softmax(Z W) − Y)/n, so no encoder is differentiated twice. Gradients for features and labels (whose
 * 1/C is added back: the synthetic targets are Ys + 1/C).
 */
export const lgm: Objective = {
  needs: { batch: true, classMeans: false },
  learns: { labels: true, temperature: false },
  async evaluate({ Zs, Ys, batch, random, gemm }) {
    const { rows: m, cols: d } = Zs;
    const C = Ys.cols;
    const W = matrix(d, C);
    for (let i = 0; i < W.data.length; i++) W.data[i] = headStd * random.normal();

    const { gradient } = crossEntropy(await batch.Z.multiply(W), batch.y);
    const real = await batch.Z.transposeMultiply(gradient);

    const P = await gemm.multiply(Zs, W);
    softmaxRows(P);
    // E = (P − T)/m, T = Ys + 1/C; the synthetic gradient is Zsᵀ E.
    const E = matrix(
      m,
      C,
      P.data.map((p, i) => (p - Ys.data[i] - 1 / C) / m),
    );
    const synthetic = await gemm.multiply(Zs, E, { transA: true });

    const { loss, gradient: byGradient } = cosineDistance(real, synthetic);
    // dL/dZs = E Ḡᵀ + S Wᵀ, where Ē = Zs Ḡ goes through E's softmax: S = P ∘ (Ē − Σ_c P ∘ Ē)/m. dL/dYs = −Ē/m.
    const byE = await gemm.multiply(Zs, byGradient);
    const byScores = matrix(m, C);
    for (let at = 0; at < byE.data.length; at += C) {
      let mean = 0;
      for (let c = at; c < at + C; c++) mean += P.data[c] * byE.data[c];
      for (let c = at; c < at + C; c++) byScores.data[c] = (P.data[c] * (byE.data[c] - mean)) / m;
    }
    const direct = await gemm.multiply(E, byGradient, { transB: true });
    return {
      loss,
      dZs: await gemm.multiply(byScores, W, { transB: true, plus: direct }),
      dYs: matrix(
        m,
        C,
        byE.data.map((x) => -x / m),
      ),
    };
  },
};
