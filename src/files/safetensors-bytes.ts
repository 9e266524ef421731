import {
  damagedFile,
  parseSafetensorsHeader,
  type SafetensorsFile,
  safetensorsFile,
  safetensorsHead,
  safetensorsHeaderLength,
  type TensorToWrite,
} from "./safetensors-header.ts";

/** A tensor to write whose bytes are in memory. */
export type TensorInMemory = Omit<TensorToWrite, "data"> & { readonly data: ArrayBufferView };

/** A safetensors file in memory. Tensors are in the order given. */
export function safetensorsBytes(
  tensors: readonly TensorInMemory[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const head = safetensorsHead(tensors, metadata);
  const out = new Uint8Array(tensors.reduce((sum, { data }) => sum + data.byteLength, head.length));
  out.set(head);
  let at = head.length;
  for (const { data } of tensors) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}

/**
 * Reads a safetensors file that is in memory.
 * @param where what errors call it
 * @throws DataError for a header or offsets that do not fit the bytes
 */
export function readSafetensors(where: string, bytes: Uint8Array): SafetensorsFile {
  const length = safetensorsHeaderLength(where, bytes.subarray(0, 8), bytes.length);
  if (8 + length > bytes.length) throw damagedFile(where, "its header ends early");
  const header = parseSafetensorsHeader(where, bytes.subarray(8, 8 + length), bytes.length);
  return safetensorsFile(
    where,
    header,
    async (_, tensor) => new Uint8Array(bytes.subarray(tensor.offset, tensor.offset + tensor.bytes)),
    async () => {},
  );
}
