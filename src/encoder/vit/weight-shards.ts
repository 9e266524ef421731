import * as z from "zod";
import { ModelError } from "../../errors.ts";

const Index = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The names of the files that a `model.safetensors.index.json` spreads the weights over, in order.
 * @throws ModelError for a text that is not an index, or that names a file outside of its folder
 */
export function shardsOf(text: string, where: string): string[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  const index = Index.safeParse(json);
  const shards = index.success ? [...new Set(Object.values(index.data.weight_map))].sort() : [];
  if (shards.length === 0) {
    throw new ModelError(
      `${where} is not an index of shards (it has no weight_map). Download or copy it again.`,
    );
  }
  const strange = shards.find((shard) => !/^[\w.-]+\.safetensors$/.test(shard));
  if (strange !== undefined) {
    throw new ModelError(
      `${where} names the shard "${strange}", outside of its own folder, which is refused. Expected a file beside it.`,
    );
  }
  return shards;
}
