/** A block of parameters with Adam's two moments (Kingma & Ba, 2015). */
export interface AdamBlock {
  readonly values: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** Parameters starting at `values` with the moments at zero. */
export function adamBlock(values: Float32Array): AdamBlock {
  return { values, first: new Float32Array(values.length), second: new Float32Array(values.length) };
}

const beta1 = 0.9;
const beta2 = 0.999;
const epsilon = 1e-8;

/**
 * One Adam step on the stretch of a block that starts at `offset` and is as long as `gradient`.
 * @param weightDecay decoupled from the gradient (AdamW; Loshchilov & Hutter, 2019)
 * @param step steps since the moments were zero, this one included (1, 2, …)
 */
export function adamStep(
  block: AdamBlock,
  gradient: Float32Array,
  offset: number,
  step: number,
  learningRate: number,
  weightDecay = 0,
): void {
  const { values, first, second } = block;
  const size = learningRate / (1 - beta1 ** step);
  const correction = 1 / (1 - beta2 ** step);
  for (let i = 0, k = offset; i < gradient.length; i++, k++) {
    const g = gradient[i];
    const m = beta1 * first[k] + (1 - beta1) * g;
    const v = beta2 * second[k] + (1 - beta2) * g * g;
    first[k] = m;
    second[k] = v;
    values[k] -= learningRate * weightDecay * values[k];
    values[k] -= (size * m) / (Math.sqrt(v * correction) + epsilon);
  }
}
