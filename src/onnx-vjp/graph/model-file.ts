import { basename } from "node:path";
import { ModelError, messageOf } from "../errors.ts";
import { externalReader } from "./external.ts";
import type { Graph } from "./ir.ts";
import { readOnnx } from "./read-onnx.ts";
import { readRegular } from "./regular-file.ts";

/** A model as its file, and the files beside it that hold its weights, give it. */
export interface ModelFile {
  readonly graph: Graph;
  /** The paths of external data that were read. */
  readonly external: ReadonlySet<string>;
}

/**
 * Reads an .onnx file and the external data beside it.
 * @throws ModelError when it cannot be read or is not an ONNX model
 */
export async function readModelFile(path: string): Promise<ModelFile> {
  let bytes: Uint8Array;
  try {
    bytes = await readRegular(path, (first) => {
      // A message of protobuf begins with a field's number and type; the number 0 is none.
      if (first !== undefined && first >> 3 === 0) throw new Error("it does not begin as an ONNX model does");
    });
  } catch (error) {
    throw new ModelError(`${path} cannot be read (${messageOf(error)}). Expected an .onnx file.`, {
      cause: error,
    });
  }
  const external = new Set<string>();
  return { graph: await readOnnx(bytes, basename(path), externalReader(path, external)), external };
}
