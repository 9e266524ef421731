import { imagesInput } from "../encoder/batched-features.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { EncoderGraph } from "./classifier-graph.ts";
import { withOpenBatch } from "./open-batch.ts";

/** The encoder's graph for any batch; for the one that its file fixes, or else for one image, where it has to be. */
export async function anyBatch({ fixedBatch, tracedGraph }: Encoder): Promise<EncoderGraph> {
  if (fixedBatch !== undefined) return { graph: await tracedGraph(fixedBatch), batch: fixedBatch };
  const at = async (batch: number) => ({ batch, graph: await tracedGraph(batch) });
  // At a batch of 1 graphs may be simpler than at others.
  const open = withOpenBatch(await at(2), await at(3), imagesInput);
  return open ? { graph: open, batch: undefined } : at(1);
}
