/**
 * Rows that hold the features of several encoders one after the other, cut into those of each: n × Σd to n × d each. Of one
 * encoder they are the same array.
 */
export function splitColumns(rows: Float32Array, sizes: readonly number[]): Float32Array[] {
  if (sizes.length === 1) return [rows];
  const width = sizes.reduce((sum, d) => sum + d, 0);
  const count = rows.length / width;
  let offset = 0;
  return sizes.map((d) => {
    const own = new Float32Array(count * d);
    for (let i = 0; i < count; i++) {
      const at = i * width + offset;
      own.set(rows.subarray(at, at + d), i * d);
    }
    offset += d;
    return own;
  });
}

/** The reverse: n × d of each encoder to n × Σd. Of one encoder it is the same array. */
export function joinColumns(parts: readonly Float32Array[], sizes: readonly number[]): Float32Array {
  if (parts.length === 1) return parts[0];
  const width = sizes.reduce((sum, d) => sum + d, 0);
  const count = parts[0].length / sizes[0];
  const rows = new Float32Array(count * width);
  let offset = 0;
  for (const [k, d] of sizes.entries()) {
    for (let i = 0; i < count; i++) rows.set(parts[k].subarray(i * d, (i + 1) * d), i * width + offset);
    offset += d;
  }
  return rows;
}
