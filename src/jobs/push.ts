import { readdir, stat } from "node:fs/promises";
import { join, resolve, sep } from "node:path";
import { readArtifact } from "../artifact/read-artifact.ts";
import type { JobContext } from "../context.ts";
import { DataError, UsageError } from "../errors.ts";
import { type Published, publish } from "../files/hub/publish.ts";
import type { PushParams } from "./params.ts";

/** As the hub takes names: letters, digits, "-", "_" and ".", no dots or dashes at the ends or in a row. */
const namePart = /^(?!.*(--|\.\.))[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/;

/**
 * Publishes a set as a data set of the Hugging Face hub, or an exported classifier as a model, in one commit.
 * @throws UsageError for a name that is none; DataError for a folder that holds no set, or a damaged one; what
 *   `publish` throws
 */
export async function pushFolder(params: PushParams, context: JobContext): Promise<Published> {
  const { repository, model = false, hub } = params;
  const parts = repository.split("/");
  if (parts.length !== 2 || !parts.every((part) => namePart.test(part))) {
    throw new UsageError(
      `"${repository}" is not a name of the hub. Expected owner/name, such as me/emoji-8.`,
    );
  }
  const folder = resolve(params.folder);
  const { paths, title } = model ? await exportedFiles(folder) : await setFiles(folder);
  const files = await Promise.all(
    paths.map(async (path) => {
      const file = join(folder, path);
      return { path, file, bytes: (await stat(file)).size };
    }),
  );
  return publish(
    {
      kind: model ? "model" : "dataset",
      name: repository,
      files,
      title,
      isPublic: params.public ?? false,
      overwrite: params.overwrite ?? false,
    },
    hub,
    context,
  );
}

/** The files that a set's manifest names, each checked by its hash, and the manifest. */
async function setFiles(folder: string): Promise<{ paths: string[]; title: string }> {
  const { manifest } = await readArtifact(folder);
  const { data, tool } = manifest;
  return {
    paths: [...Object.keys(manifest.files), "manifest.json"],
    title: `Upload a set made from ${data.name} by ${tool.name} ${tool.version}`,
  };
}

/** All files of an exported classifier. */
async function exportedFiles(folder: string): Promise<{ paths: string[]; title: string }> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll(sep, "/"),
    )
    .filter((path) => !path.split("/").some((part) => part.startsWith(".")))
    .sort();
  if (!paths.includes("config.json") || !paths.some((path) => /^onnx\/.+\.onnx$/.test(path))) {
    throw new DataError(
      `${folder} holds no config.json and onnx/…, so it is not an exported classifier. Expected a folder that \`clp-dd export\` wrote.`,
    );
  }
  return { paths, title: "Upload a classifier exported by clp-dd" };
}
