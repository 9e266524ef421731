import type { HubAccess } from "../files/hub/settings.ts";

/** Unreadable images that are skipped before giving up, where nothing else is asked for. */
export const defaultMaxBad = 10;

/** A data set, and how much of it may be unreadable. */
export interface DataParams {
  /** A folder, the name of an embedded set, NAME:PATH of a known one, or hf:OWNER/NAME. */
  readonly data: string;
  /** Folder of the feature cache. */
  readonly cacheFolder: string;
  /** Unreadable images that are skipped before giving up. */
  readonly maxBad: number;
  /** How data sets of the hub are reached; without it none can be named. */
  readonly hub?: HubAccess | undefined;
}
