/** Where graphs run. `cpu` everywhere; the others where the binding and the machine have them. */
export const devices = ["cpu", "webgpu", "cuda"] as const;
export type Device = (typeof devices)[number];

/** What a graph's matrix products are computed in. */
export const precisions = ["float32", "float16"] as const;
export type Precision = (typeof precisions)[number];
