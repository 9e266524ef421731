import type { FileHandle } from "node:fs/promises";
import type { ExternalPlace } from "./write-onnx.ts";

/** Operating systems map files by pages. */
const pageBytes = 4096;

/** Weights one after the other in a file, each once, however many graphs refer to it. */
export class WeightsFile {
  private readonly places = new Map<ArrayBufferLike, Map<string, number>>();
  private readonly written: { readonly data: Uint8Array; readonly offset: number }[] = [];
  private end = 0;

  private readonly file: FileHandle;
  private readonly name: string;

  /** @param name how models refer to the file: its path relative to their folder */
  constructor(file: FileHandle, name: string) {
    this.file = file;
    this.name = name;
  }

  /** Where the bytes will be. */
  placeOf(data: Uint8Array): ExternalPlace {
    const known = this.places.get(data.buffer) ?? new Map<string, number>();
    this.places.set(data.buffer, known);
    const key = `${data.byteOffset} ${data.byteLength}`;
    let offset = known.get(key);
    if (offset === undefined) {
      offset = this.end;
      known.set(key, offset);
      this.written.push({ data, offset });
      this.end = Math.ceil((offset + data.byteLength) / pageBytes) * pageBytes;
    }
    return { path: this.name, offset };
  }

  /** Writes all that was placed. */
  async write(): Promise<void> {
    for (const { data, offset } of this.written) {
      for (let done = 0; done < data.byteLength; ) {
        const { bytesWritten } = await this.file.write(data, done, data.byteLength - done, offset + done);
        done += bytesWritten;
      }
    }
    await this.file.truncate(this.end);
  }
}
