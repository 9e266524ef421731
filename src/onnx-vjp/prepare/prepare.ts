import type { Graph, TracedGraph } from "../graph/ir.ts";
import { withoutDeadNodes } from "../graph/live.ts";
import type { Runtime } from "../graph/runtime.ts";
import { disagreeing, inlineBranches, mergeBranches } from "./branches.ts";
import { requireLoopsThatEnd } from "./endless-loops.ts";
import { toFloat32 } from "./float32.ts";
import { foldBatchNormalization } from "./fold-batchnorm.ts";
import { foldLayerNormalization } from "./fold-layernorm.ts";
import { fuseGelu } from "./fuse-gelu.ts";
import { fuseLayerNormalization } from "./fuse-layernorm.ts";
import { lower } from "./lower/index.ts";
import { narrow } from "./narrow.ts";
import { repaired } from "./repair.ts";
import { withoutSequences } from "./sequences.ts";
import { simplify } from "./simplify.ts";
import { splitSlices } from "./split-slices.ts";
import { retrace, traceBatches } from "./trace.ts";
import { unrollLoops } from "./unroll.ts";

/**
 * Makes a graph that was read ready for the reverse sweep: float32 throughout, static shapes, shape arithmetic
 * folded, every operator in the form that the rules know, nothing superfluous, fused operators in place of the
 * chains that exporters write for them, batch normalizations in the weights before them, layer normalizations' scale and
 * bias in the weights behind them, no part computed that no
 * output needs. The graph's outputs, and every value that an operator still makes whole, keep their names.
 *
 * @param inputs static dims by input name; the first dimension is the batch
 * @throws ModelError for other inputs, shapes that do not fit, and models that are quantized or in training mode
 */
export async function prepareGraph(
  runtime: Runtime,
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): Promise<TracedGraph> {
  return prepareBatches(runtime, graph, inputs)();
}

/** `prepareGraph` for several batches of one graph (default: that of `inputs`), converted and measured once. */
export function prepareBatches(
  runtime: Runtime,
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): (batch?: number) => Promise<TracedGraph> {
  const read = toFloat32(repaired(withoutDeadNodes(graph)));
  requireLoopsThatEnd(read);
  const traceAt = traceBatches(runtime, read, inputs);
  return async (batch) => {
    let traced = await withoutBodies(runtime, await traceAt(batch));
    // A fused operator is lowered to operators that may have to be lowered in turn.
    for (let round = 1; ; round++) {
      const lowered = lower(traced, `lower${round}/`);
      if (lowered === traced) break;
      traced = await retrace(runtime, lowered, traced.types);
    }
    const simple = simplify(splitSlices(simplify(traced)));
    return narrow(foldBatchNormalization(foldLayerNormalization(fuseGelu(fuseLayerNormalization(simple)))));
  };
}

/** Operators that are written out: their bodies, or the tensors that they hold, take their place. */
export const writtenOut: ReadonlySet<string> = new Set([
  ...["If", "Loop", "Scan", "Optional", "OptionalGetElement", "SequenceConstruct", "SequenceAt"],
  ...["SequenceInsert", "SequenceErase", "SequenceMap", "SplitToSequence", "ConcatFromSequence"],
]);

/**
 * The graph without branches, loops and sequences, as far as they can be written out: one may hold further ones, whose
 * conditions and counts are known once it is in place.
 */
async function withoutBodies(runtime: Runtime, graph: TracedGraph): Promise<TracedGraph> {
  const kept = new Set<string>();
  let traced = graph;
  for (let round = 1; ; round++) {
    const inlined = inlineBranches(traced, traced.constants);
    const unrolled = inlined === traced ? await unrollLoops(runtime, traced) : inlined;
    const changed = unrolled === traced ? withoutSequences(traced, `sequences${round}/`) : unrolled;
    if (changed !== traced) {
      traced = await retrace(runtime, changed, traced.types);
      continue;
    }
    const merged = mergeBranches(traced, kept);
    if (merged === undefined) return traced;
    const values = merged.choices.flatMap((choice) => choice.values);
    // As outputs they have types, whatever becomes of them.
    const outputs = [
      ...traced.outputs,
      ...values.map((name) => ({ name, dtype: "float32" as const, dims: [] })),
    ];
    const tried = await retrace(runtime, { ...merged.graph, outputs }, traced.types);
    const wrong = disagreeing(merged.choices, tried.types);
    for (const node of wrong) kept.add(node);
    if (wrong.length === 0) traced = { ...tried, outputs: traced.outputs };
  }
}
