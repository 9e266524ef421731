/** The process that does a share of another's work: ONNX Runtime runs a model on the thread that calls it. */
import { serve } from "../../helpers/serve.ts";

serve({
  shards: async () => (await import("../../distill/shard-service.ts")).shardService(),
});
