/** The headers of a tar archive (POSIX ustar and pax, GNU long names), read without their files' contents. */
import { type FileHandle, open } from "node:fs/promises";
import { DataError, messageOf } from "../../errors.ts";
import { readExactly } from "../../files/read-exactly.ts";
import { requireRegular } from "../../files/regular-file.ts";

/** A regular file in an archive. */
export interface TarEntry {
  readonly path: string;
  /** Where its bytes begin in the archive, and how many they are. */
  readonly start: number;
  readonly length: number;
}

const block = 512;
const gzipMark = Buffer.of(0x1f, 0x8b);
/** Pieces the archive is read in: small files' headers come many at a time, large files are stepped over. */
const windowBytes = 64 * 1024;
/** Longest name or pax record that is taken. */
const mostNameBytes = 2 ** 20;

/**
 * The archive's regular files in order, and a way to read one. Throws DataError when it is damaged or truncated, and for
 * a sparse file, whose bytes are not those of the file.
 * @param passedOver is given the path of every link and device
 */
export async function* tarEntries(
  path: string,
  passedOver: (path: string) => void = () => {},
): AsyncGenerator<TarEntry & { read(): Promise<Uint8Array> }, void, undefined> {
  let file: FileHandle | undefined;
  try {
    // Opening a pipe would wait for its writer.
    await requireRegular(path);
    file = await open(path);
    const { size } = await file.stat();
    const window = new Window(file, size);
    /** What an extension header says of the next file. */
    let next: Extension = {};
    let at = 0;
    let ended = false;
    const gzip = size > 2 && Buffer.from(await window.read(0, 2)).equals(gzipMark);
    if (gzip) throw new Error("it is compressed (gzip) and must be unpacked first, to be read at any place");
    while (at + block <= size) {
      const header = await window.read(at, block);
      if (header.every((byte) => byte === 0)) {
        ended = true;
        break;
      }
      requireChecksum(header, at);
      const kind = String.fromCharCode(header[156]);
      const length = next.size ?? number(header.subarray(124, 136));
      const start = at + block;
      if (!Number.isSafeInteger(length) || length < 0)
        throw new Error(`the size of the file at byte ${at} is damaged`);
      if (start + length > size) {
        throw new Error(
          `it is truncated: the file at byte ${at} has ${length} bytes, ${size - start} are there`,
        );
      }
      at = start + Math.ceil(length / block) * block;
      if (kind === "L" || kind === "x") {
        if (length > mostNameBytes) throw new Error(`the name at byte ${start} has ${length} bytes`);
        const data = await window.read(start, length);
        next = kind === "L" ? { ...next, path: text(data) } : { ...next, ...paxOf(data) };
        continue;
      }
      if (kind === "g" || kind === "K") continue;
      const name = next.path ?? nameOf(header);
      if (kind === "S" || next.sparse) {
        throw new Error(`"${name}" is stored as a sparse file; pack it without --sparse`);
      }
      next = {};
      if (kind !== "0" && kind !== "\0" && kind !== "7") {
        // Folders say nothing that their files' paths do not.
        if (kind !== "5") passedOver(name);
        continue;
      }
      yield { path: name, start, length, read: () => window.read(start, length) };
    }
    if (!ended && at !== size) throw new Error("it is truncated: it has no end mark");
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(
      `${path} cannot be read as a tar archive: ${messageOf(cause)}. Download or pack it again.`,
      { cause },
    );
  } finally {
    await file?.close();
  }
}

/** What an extension header says of the next file. */
interface Extension {
  readonly path?: string;
  readonly size?: number;
  readonly sparse?: boolean;
}

/** Reads pieces of a file that are near each other with few calls. */
class Window {
  readonly #file: FileHandle;
  readonly #size: number;
  readonly #buffer = new Uint8Array(windowBytes);
  #start = 0;
  #end = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  /** A copy of `length` bytes at `start`, which are within the file. */
  async read(start: number, length: number): Promise<Uint8Array> {
    if (length > windowBytes) {
      return this.#fill(new Uint8Array(length), start);
    }
    if (start < this.#start || start + length > this.#end) {
      const wanted = Math.min(windowBytes, this.#size - start);
      await this.#fill(this.#buffer.subarray(0, wanted), start);
      this.#start = start;
      this.#end = start + wanted;
    }
    return this.#buffer.slice(start - this.#start, start - this.#start + length);
  }

  #fill(bytes: Uint8Array, start: number): Promise<Uint8Array> {
    return readExactly(this.#file, bytes, start, (at) => new Error(`it ends at byte ${at}`));
  }
}

function requireChecksum(header: Uint8Array, at: number): void {
  // The sum of all bytes, its own field counted as spaces.
  let sum = 0;
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : header[i];
  if (sum !== number(header.subarray(148, 156))) {
    throw new Error(`there is no file header at byte ${at}`);
  }
}

/** A number in octal digits, or in base 256 where the first bit is set (GNU, for files beyond 8 GB). */
function number(field: Uint8Array): number {
  if ((field[0] & 0x80) !== 0) {
    let value = field[0] & 0x7f;
    for (const byte of field.subarray(1)) value = value * 256 + byte;
    return value;
  }
  return Number.parseInt(text(field).trim() || "0", 8);
}

function nameOf(header: Uint8Array): string {
  const name = text(header.subarray(0, 100));
  const isUstar = text(header.subarray(257, 262)) === "ustar";
  const prefix = isUstar && header[263] === 0x30 ? text(header.subarray(345, 500)) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** "27 path=some/long/name\n" and so on. */
function paxOf(data: Uint8Array): Extension {
  const out: { path?: string; size?: number; sparse?: boolean } = {};
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = Number(text(data.subarray(at, space)));
    if (space < 0 || !(length > space - at)) throw new Error("a pax header in it cannot be read");
    const [key, value] = splitOnce(new TextDecoder().decode(data.subarray(space + 1, at + length - 1)), "=");
    if (key === "path") out.path = value;
    if (key === "size") out.size = Number(value);
    if (key.startsWith("GNU.sparse.")) out.sparse = true;
    at += length;
  }
  return out;
}

function splitOnce(whole: string, mark: string): [string, string] {
  const at = whole.indexOf(mark);
  return at < 0 ? [whole, ""] : [whole.slice(0, at), whole.slice(at + mark.length)];
}

/** Text up to the first zero byte. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
