/** Central differences of a scalar function of one array, in its numbers' own precision. */
export function centralDifferences(
  f: (x: Float64Array) => number,
  x: Float64Array,
  step = 1e-5,
): Float64Array {
  return x.map((_, i) => {
    const moved = (by: number) => f(x.map((value, k) => (k === i ? value + by : value)));
    return (moved(step) - moved(-step)) / (2 * step);
  });
}
