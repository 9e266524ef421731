/** The process that does a share of another's work: ONNX Runtime runs a model on the thread that calls it. */
import { serve } from "../../helpers/serve.ts";

serve({
  features: async () => (await import("../../features/encode-service.ts")).encodeService(),
  shards: async () => (await import("../../distill/shard-service.ts")).shardService(),
  evaluation: async () => (await import("../../evaluate/evaluation-service.ts")).evaluationService(),
});
