import { lstat } from "node:fs/promises";
import { readBounded } from "./read-bounded.ts";

export { readRegular, requireRegular } from "../onnx-vjp/graph/regular-file.ts";

/** More than any file of settings has. */
const mostTextBytes = 64 * 2 ** 20;

/** The text of a file of settings. @throws Error saying why it cannot be read */
export const settingsText = async (path: string): Promise<string> =>
  String(await readBounded(path, mostTextBytes));

/**
 * The same, or undefined where there is no file. A link that leads nowhere is not taken for none:
 * somebody wanted its settings to hold.
 * @throws Error saying why it cannot be read
 */
export async function textIfThere(path: string): Promise<string | undefined> {
  try {
    return await settingsText(path);
  } catch (error) {
    if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    const link = await lstat(path).catch(() => undefined);
    if (link !== undefined) throw new Error("it is a link to what is not there", { cause: error });
    return undefined;
  }
}
