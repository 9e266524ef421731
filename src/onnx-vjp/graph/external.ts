import { existsSync } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { basename, dirname, resolve, sep } from "node:path";
import { ModelError, messageOf } from "../errors.ts";
import { readExactly } from "../read-exactly.ts";
import type { ReadExternal } from "./read-onnx.ts";
import { requireRegular } from "./regular-file.ts";

/**
 * Reads the files beside an ONNX model that hold its weights. A location that leads out of the model's folder is
 * refused, by its name or through links; in the hub's cache, whose files are links, the blobs of the same repository
 * belong to the folder.
 *
 * @param used gets the paths that were read
 * @throws ModelError naming the location: outside of the folder, not there, or shorter than the model says
 */
export function externalReader(modelPath: string, used: Set<string>): ReadExternal {
  const folder = resolve(dirname(modelPath));
  const model = basename(modelPath);
  return async (location, offset, length) => {
    const path = pathOf(folder, location);
    const outside = (where: string) =>
      new ModelError(
        `${model} keeps weights in "${location}", ${where} of its own folder, which is refused. ` +
          "Put the file beside the model.",
      );
    if (!path.startsWith(folder + sep)) throw outside("outside");
    let file: Awaited<ReturnType<typeof open>>;
    try {
      const roots = await rootsOf(folder);
      const real = await realpath(path);
      if (!roots.some((root) => real.startsWith(root + sep))) throw outside("a link that leads out");
      await requireRegular(real);
      file = await open(real, "r");
    } catch (error) {
      if (error instanceof ModelError) throw error;
      throw new ModelError(
        `${model} keeps its weights in "${location}", which cannot be read (${messageOf(error)}). ` +
          `Put that file into ${folder}.`,
        { cause: error },
      );
    }
    used.add(path);
    try {
      const found = await file.stat();
      const { size } = found;
      if (!found.isFile()) {
        throw new ModelError(
          `${model} keeps its weights in "${location}", which is not a file. Put that file into ${folder}.`,
        );
      }
      const wanted = length ?? size - offset;
      if (![offset, wanted].every((n) => Number.isSafeInteger(n) && n >= 0) || offset + wanted > size) {
        throw new ModelError(
          `${model} asks for ${wanted} bytes at ${offset} of "${location}", which has ${size}. ` +
            "One of the two files is damaged or of another model: download both again.",
        );
      }
      const shorter = () =>
        new ModelError(`"${location}" became shorter while it was read. Start again when it is whole.`);
      return await readExactly(file, new Uint8Array(wanted), offset, shorter);
    } finally {
      await file.close();
    }
  };
}

/** Windows programs write backslashes between folders; elsewhere they may be a part of a name. */
function pathOf(folder: string, location: string): string {
  const literal = resolve(folder, location);
  return !location.includes("\\") || existsSync(literal)
    ? literal
    : resolve(folder, location.replaceAll("\\", "/"));
}

/** Real paths of the folders that a model may read from. */
async function rootsOf(folder: string): Promise<string[]> {
  const root = await realpath(folder);
  const repository = /^(.*[\\/]models--[^\\/]+)[\\/]snapshots[\\/][0-9a-f]{40}(?:[\\/]|$)/.exec(root)?.[1];
  return repository === undefined ? [root] : [root, `${repository}${sep}blobs`];
}
