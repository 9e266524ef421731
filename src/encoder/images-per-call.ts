import { bytesOfValues } from "../onnx-vjp/compile/partition.ts";
import type { TracedGraph } from "../onnx-vjp/graph/ir.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";

/** Bytes of all values that one image's way through a graph makes; `traced` is the encoder at some batch. */
export function bytesPerImage(traced: TracedGraph): number {
  const made = traced.nodes.flatMap((node) => node.outputs).filter((value) => traced.types.has(value));
  return bytesOfValues(made, traced.types) / Number(traced.inputs[0].dims[0]);
}

/** Fewer leave threads without work, more take memory and gain nothing. */
const fewest = 2;
const most = 16;

/** A GPU has thousands of units to keep busy, and a call's cost is that of starting some hundred kernels on it. */
const mostOnCard = 32;

/** What the values of a call's graph take together, for each thread, where a call is quickest. */
const bytesAThread = 64 * 2 ** 20;

/**
 * How many images go through an encoder in one call. With more, what one operator hands to the next no longer stays
 * in the CPU's caches; with fewer, a call's own cost weighs more (docs/notes/performance.md).
 * @param bytes of one image (`bytesPerImage`)
 */
export function imagesACall({ device, threads }: Pick<Runtime, "device" | "threads">, bytes: number): number {
  if (device !== "cpu") return mostOnCard;
  const ideal = Math.round((bytesAThread * threads) / bytes);
  return Math.min(most, Math.max(fewest, Math.min(threads, most / 2), ideal));
}

/** The size of `count` images' chunks: at most `ideal` and more than half of it, with as few places left empty as can be. */
export function chunkSize(count: number, ideal: number): number {
  let best = Math.min(count, ideal);
  const places = (size: number) => size * Math.ceil(count / size);
  for (let size = best - 1; size > ideal / 2; size--) if (places(size) < places(best)) best = size;
  return best;
}

/** What an image takes in a call of one, relative to its share of a larger one, and in calls beyond the ideal. */
const alone = 1.25;
const beyond = 1.05;

/**
 * Images in one shard of `count`, each of which is one call with one thread: the size with which `cores` processes
 * are done first, and of those that are as fast the smallest, which leaves the most to share out.
 * @param ideal images that one thread encodes fastest in a call (`imagesACall`)
 */
export function shardSize(count: number, ideal: number, cores: number): number {
  const time = (size: number) => {
    const rounds = Math.ceil(Math.ceil(count / size) / cores);
    return rounds * size * (size === 1 ? alone : size > ideal ? beyond : 1);
  };
  let best = 1;
  for (let size = 2; size <= Math.min(count, 2 * ideal); size++) if (time(size) < time(best)) best = size;
  return best;
}
