import type { PartialContext } from "../context.ts";
import { cachedModel, fetchModel } from "../encoder/load/hub-model.ts";
import { placeOf } from "../encoder/load/place.ts";
import { type KnownEncoder, knownEncoders } from "../encoder/registry.ts";
import { UsageError } from "../errors.ts";
import { type HubAccess, userHub } from "../files/hub/settings.ts";
import type { FetchParams } from "./params.ts";

/** A known encoder, and whether its files are there. */
export interface ListedEncoder extends KnownEncoder {
  readonly present: boolean;
}

/** Every known encoder, with whether it can be used without a network. */
export function listEncoders(access: HubAccess): Promise<ListedEncoder[]> {
  return Promise.all(
    knownEncoders.map(async (known) => ({
      ...known,
      present: known.hub === undefined || (await cachedModel({ id: known.hub }, access)) !== undefined,
    })),
  );
}

/** An encoder that was fetched: where its files are. */
export interface FetchedEncoder {
  readonly name: string;
  readonly id: string;
  readonly commit: string;
  readonly folder: string;
}

/**
 * Brings encoders into the hub's cache, looking for newer files of those that are there.
 * @throws UsageError for what is not an encoder of the hub; DownloadError where one cannot be had
 */
export async function fetchEncoders(params: FetchParams, context: PartialContext): Promise<FetchedEncoder[]> {
  const { revision, dtype, hub = userHub() } = params;
  const wanted = params.encoders.map((name) => ({ name, place: placeOf(name) }));
  const fetched: FetchedEncoder[] = [];
  for (const { name, place } of wanted) {
    if (place.kind === "embedded") {
      context.note?.(`${name} comes with the package: nothing to fetch.`);
      continue;
    }
    if (place.kind !== "hub") {
      throw new UsageError(
        `${name} is a ${place.kind} that is there already. Expected a name of \`clp-dd encoders\` or owner/name.`,
      );
    }
    const { folder, commit } = await fetchModel({ id: place.id, revision, dtype }, hub, context, true);
    fetched.push({ name, id: place.id, commit, folder });
  }
  return fetched;
}
