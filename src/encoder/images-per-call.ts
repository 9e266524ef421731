import { bytesOfValues } from "../onnx-vjp/compile/partition.ts";
import type { TracedGraph } from "../onnx-vjp/graph/ir.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";

/** Fewer leave threads without work, more take memory and gain nothing. */
const fewest = 2;
const most = 16;

/** A card has thousands of units to keep at work, and a call's cost is that of starting some hundred programs on it. */
const mostOnCard = 32;

/** What the values of a call's graph take together, for each thread, where a call is quickest. */
const bytesAThread = 64 * 2 ** 20;

/**
 * How many images go through an encoder in one call. With more, what one operator hands to the next no longer stays
 * in the processor's caches; with fewer, a call's own cost weighs more (docs/performance.md).
 * @param traced the encoder at some batch, its first dimension
 */
export function imagesACall({ device, threads }: Runtime, traced: TracedGraph): number {
  if (device !== "cpu") return mostOnCard;
  const batch = Number(traced.inputs[0]!.dims[0]);
  const made = traced.nodes.flatMap((node) => node.outputs).filter((value) => traced.types.has(value));
  const bytes = bytesOfValues(made, traced.types);
  const ideal = Math.round((bytesAThread * threads * batch) / bytes);
  return Math.min(most, Math.max(fewest, Math.min(threads, most / 2), ideal));
}

/** The size of `count` images' chunks: at most `ideal` and more than half of it, with as few places left empty as can be. */
export function chunkSize(count: number, ideal: number): number {
  let best = Math.min(count, ideal);
  const places = (size: number) => size * Math.ceil(count / size);
  for (let size = best - 1; size > ideal / 2; size--) if (places(size) < places(best)) best = size;
  return best;
}
