import * as z from "zod";
import { chooseOnnx, sideFiles, weightFiles } from "../encoder/load/choose-onnx.ts";
import { isHubId, knownEncoder, unknownLicense } from "../encoder/registry.ts";
import { isKnownConfig } from "../encoder/vit/supported.ts";
import { DownloadError, ModelError, UsageError } from "../errors.ts";
import type { EncoderFile } from "./encoder.ts";

/** How the hub is asked. */
export interface HubOptions {
  readonly hubUrl: string;
  /** A file of a commit, or an answer of the hub's interface. Throws where there is none. */
  fetchBytes(url: string, onProgress?: (loaded: number, total: number) => void): Promise<Uint8Array>;
  onProgress?(loaded: number, total: number): void;
}

const Answer = z.object({
  sha: z.string().regex(/^[0-9a-f]{40}$/),
  siblings: z.array(z.object({ rfilename: z.string() })),
});

/**
 * Fetches an encoder of the Hugging Face hub by a short name or `owner/name`, as `--encoder` does on the command line: from
 * safetensors of a family that is built here, else from ONNX. Weights in several files are refused: a page has no room for
 * models that large.
 * @throws UsageError for another text; DownloadError when it cannot be fetched; ModelError when there is nothing to read
 */
export async function fetchHubEncoder(name: string, options: HubOptions): Promise<EncoderFile> {
  const known = knownEncoder(name);
  const id = known?.hub ?? name;
  if (known?.hub === undefined && !isHubId(name)) {
    throw new UsageError(
      `"${name}" is not a name of the hub. Expected owner/name, or a short name such as dinov2-small.`,
    );
  }
  const { hubUrl } = options;
  const get = async (url: string, onProgress?: HubOptions["onProgress"]): Promise<Uint8Array> => {
    try {
      return await options.fetchBytes(url, onProgress);
    } catch (error) {
      throw new DownloadError(
        `${url} could not be fetched (${error instanceof Error ? error.message : String(error)}). Check the name and the ` +
          "network; models that ask for an agreement cannot be fetched here.",
        { cause: error },
      );
    }
  };
  const decoder = new TextDecoder();
  const answer = Answer.parse(
    JSON.parse(decoder.decode(await get(`${hubUrl}/api/models/${id}/revision/main`))),
  );
  const paths = answer.siblings.map(({ rfilename }) => rfilename);
  const place = `${hubUrl}/${id}/resolve/${answer.sha}`;
  const files: Record<string, string> = {};
  for (const file of sideFiles.filter((own) => paths.includes(own))) {
    files[file] = decoder.decode(await get(`${place}/${file}`));
  }
  const weights = weightsOf(id, paths, files["config.json"]);
  const license = known && known.license !== unknownLicense ? known.license : undefined;
  return {
    id: name,
    weights: weights.endsWith(".onnx") ? "onnx" : "safetensors",
    bytes: await get(`${place}/${weights}`, options.onProgress),
    files,
    from: { source: `${hubUrl}/${id}`, revision: answer.sha, ...(license === undefined ? {} : { license }) },
  };
}

/** The one file with the weights. */
function weightsOf(id: string, paths: readonly string[], config: string | undefined): string {
  const [whole] = weightFiles;
  if (isKnownConfig(config) && paths.includes(whole)) return whole;
  const inFolder = paths.filter((path) => /^(onnx\/)?[^/]+$/.test(path));
  const onnx = chooseOnnx(inFolder, "fp32", id);
  if (onnx !== undefined && onnx.data.length === 0) return onnx.model;
  throw new ModelError(
    `${id} has neither ${whole} of a family that is built here nor an ONNX model in one file. Use it on the command line, ` +
      "or export it to one ONNX file and drop that on the page.",
  );
}
