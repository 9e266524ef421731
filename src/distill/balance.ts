/**
 * The sum of several encoders' gradients with respect to the same images, in which each encoder has the same say in each
 * image: an image's gradients are brought to their mean norm before they are added. An image's sum depends on its own
 * gradients alone, and so not on who computes which images. A gradient of zero takes no part; a single encoder's is left
 * as it is.
 * @param gradients of each encoder, image after image
 * @param count images whose gradients are added; places behind them stay zero
 * @param pixels numbers of one image
 */
export function balancedSum(gradients: readonly Float32Array[], count: number, pixels: number): Float32Array {
  const [first] = gradients;
  if (gradients.length === 1) return first;
  const total = new Float32Array(first.length);
  for (let at = 0; at < count * pixels; at += pixels) {
    const own = gradients.map((gradient) => gradient.subarray(at, at + pixels));
    const norms = own.map(normOf);
    const alive = norms.filter((norm) => norm > 0);
    const mean = alive.reduce((sum, norm) => sum + norm, 0) / alive.length;
    for (const [k, gradient] of own.entries()) {
      if (norms[k] === 0) continue;
      const share = mean / norms[k];
      for (let i = 0; i < pixels; i++) total[at + i] += share * gradient[i];
    }
  }
  return total;
}

function normOf(values: Float32Array): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}
