import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type FolderKind, replaceFolder, requireWritableOut } from "../artifact/out-folder.ts";
import { makeFolders, writeAll } from "../files/disk.ts";
import type { ExportedSet } from "./config-files.ts";
import { exportTexts } from "./export-texts.ts";
import type { CardFiles } from "./model-card.ts";
import type { OnnxFiles } from "./onnx-files.ts";

const exportFolder: FolderKind = {
  name: "an export",
  marks: ["config.json", "preprocessor_config.json", "onnx"],
};

/** Throws DataError where `out` holds something else than an export, or one that may not be replaced. */
export const requireExportOut = (out: string, overwrite: boolean): Promise<void> =>
  requireWritableOut(out, overwrite, exportFolder);

/**
 * Writes an export in the layout of the Hugging Face hub: into a temporary folder beside `out`, which is then renamed.
 * @throws DataError when `out` may not be written or the disk is full; nothing of `out` is changed then
 */
export async function writeExport(
  out: string,
  set: ExportedSet,
  card: CardFiles,
  overwrite: boolean,
): Promise<void> {
  await requireExportOut(out, overwrite);
  const needed = card.files.reduce((sum, { bytes }) => sum + bytes, 0);
  await replaceFolder(
    out,
    async (folder) => {
      await makeFolders(join(folder, "onnx"));
      for (const file of card.files) await writeModel(join(folder, "onnx"), file);
      for (const [name, text] of Object.entries(exportTexts(set, card)))
        await writeFile(join(folder, name), text, { flush: true });
    },
    { needed, goOn: "run the same command again" },
  );
}

async function writeModel(folder: string, { name, model, weights }: OnnxFiles): Promise<void> {
  await writeFile(join(folder, name), model, { flush: true });
  for (const chunk of weights) {
    const file = await open(join(folder, chunk.name), "w");
    try {
      for (const { data, offset } of chunk.parts) await writeAll(file, data, offset);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
