import { type Checkpoint, checkpointFormat, restoredRun, savedRun } from "../distill/run-state.ts";
import { DataError } from "../errors.ts";
import { readSafetensors, safetensorsBytes } from "../files/safetensors-bytes.ts";
import { sha256 } from "./sha256.ts";

/** A run as the bytes of a safetensors file, the same that the command line writes. */
export async function checkpointBytes(checkpoint: Checkpoint): Promise<Uint8Array<ArrayBuffer>> {
  const { text, arrays } = savedRun(checkpoint);
  const tensors = arrays.map(([name, data]) => ({
    name,
    dtype: "F32" as const,
    shape: [data.length],
    data,
  }));
  const hash = await hashOf(
    text,
    arrays.map(([, data]) => data),
  );
  return safetensorsBytes(tensors, { format: checkpointFormat, meta: text, sha256: hash });
}

/** @throws DataError for bytes that are damaged or of another version */
export async function readCheckpoint(bytes: Uint8Array): Promise<Checkpoint> {
  const where = "The saved distillation";
  const file = readSafetensors(where, bytes);
  if (file.metadata.format !== checkpointFormat) {
    throw new DataError(`${where} was written by another version of clp-dd. Start it again.`);
  }
  const text = file.metadata.meta ?? "";
  const arrays = new Map<string, Float32Array>();
  for (const name of file.tensors.keys()) arrays.set(name, await file.float32(name));
  if ((await hashOf(text, [...arrays.values()])) !== file.metadata.sha256) {
    throw new DataError(`${where} is damaged (cut short or changed). Start it again.`);
  }
  return restoredRun(text, arrays);
}

function hashOf(text: string, arrays: readonly Float32Array[]): Promise<string> {
  const head = new TextEncoder().encode(text);
  const all = new Uint8Array(arrays.reduce((sum, { byteLength }) => sum + byteLength, head.length));
  all.set(head);
  let at = head.length;
  for (const { buffer, byteOffset, byteLength } of arrays) {
    all.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  return sha256(all);
}
