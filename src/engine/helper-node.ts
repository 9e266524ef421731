/** The process that does a share of another's work: ONNX Runtime runs a model on the thread that calls it. */
import { serve } from "../helpers/serve-node.ts";

serve({
  shards: async () => (await import("../distill/shard-host-node.ts")).shardService(),
});
