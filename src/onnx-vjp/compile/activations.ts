/**
 * How the pullback gets at the forward's intermediates. `save`: the forward hands them over (2 units of work
 * a step, memory for every image between the two calls). `recompute`: the pullback computes them again
 * (3 units, memory for one call).
 */
export type Activations = "save" | "recompute";
