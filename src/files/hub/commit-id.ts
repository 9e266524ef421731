import { DownloadError } from "../../errors.ts";

/** The commit that a hub's answer names. Throws DownloadError for anything else, which would become a folder's name. */
export function commitId(sha: unknown, id: string): string {
  if (typeof sha === "string" && /^[0-9a-f]{40}$/.test(sha)) return sha;
  throw new DownloadError(
    `The hub's answer for ${id} names no commit. Is it a hub? Check HF_ENDPOINT, and try again.`,
  );
}
