/**
 * Color decorrelation of the pyramid's channels (Olah et al., "Feature Visualization", 2017; used by LGM):
 * the square root of ImageNet's color covariance over its largest column norm, [3 out × 3 in], row-major.
 */
export const colorMatrix: Float32Array = (() => {
  const root = [
    [0.26, 0.09, 0.02],
    [0.27, 0, -0.05],
    [0.27, -0.09, 0.03],
  ];
  const norms = [0, 1, 2].map((column) => Math.hypot(...root.map((row) => row[column])));
  const largest = Math.max(...norms);
  return Float32Array.from(root.flat(), (value) => value / largest);
})();

/** The inverse of `colorMatrix`, in double: initializes a pyramid from real images. */
export function inverseColorMatrix(): Float64Array {
  const [a, b, c, d, e, f, g, h, i] = Array.from(colorMatrix) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const adjugate = [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ];
  return Float64Array.from(adjugate, (value) => value / det);
}
