import { type JournalRecord, recordBytes, recordOf } from "./records.ts";

/**
 * Projects in the browser's private file system (OPFS), each in a folder of its own. A journal is only ever appended to, so that a crash loses
 * at most the record that was being written; other files are replaced whole, under a temporary name first.
 */

/** A file opened for synchronous use, which workers alone may do. */
interface SyncHandle {
  read(to: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  getSize(): number;
  close(): void;
}
interface FileHandle extends FileSystemFileHandle {
  createSyncAccessHandle(): Promise<SyncHandle>;
  move?(name: string): Promise<void>;
}

/** The folder of all projects. @throws where the browser has no private file system */
export async function projectsFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("clp-dd", { create: true });
}

/** Of a file while it is being written. */
const unfinished = ".new";

export class Storage {
  readonly #folder: FileSystemDirectoryHandle;
  #journal: SyncHandle;

  private constructor(folder: FileSystemDirectoryHandle, journal: SyncHandle) {
    this.#folder = folder;
    this.#journal = journal;
  }

  /**
   * Opens a project's folder, which is made where there is none; undefined where the browser has no private file system.
   * @throws Error where another tab has it open
   */
  static async open(project: string): Promise<Storage | undefined> {
    let folder: FileSystemDirectoryHandle;
    let file: FileHandle;
    try {
      folder = await (await projectsFolder()).getDirectoryHandle(project, { create: true });
      file = (await folder.getFileHandle("journal", { create: true })) as FileHandle;
      if (!("createSyncAccessHandle" in file)) return undefined;
    } catch {
      return undefined;
    }
    // A tab that is being reloaded may hold it for a moment longer.
    for (let attempt = 0; ; attempt++) {
      try {
        return new Storage(folder, await file.createSyncAccessHandle());
      } catch (error) {
        if (attempt === 20) throw new Error("another tab has this project open", { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Every whole record, in order. Half a record at the end, which a crash left, is removed. */
  *records(): Generator<JournalRecord> {
    const size = this.#journal.getSize();
    let at = 0;
    while (at + 8 <= size) {
      const head = new Uint8Array(8);
      this.#journal.read(head, { at });
      const view = new DataView(head.buffer);
      const [text, bytes] = [view.getUint32(0), view.getUint32(4)];
      if (at + 8 + text + bytes > size) break;
      const record = new Uint8Array(8 + text + bytes);
      this.#journal.read(record, { at });
      at += record.length;
      yield recordOf(record);
    }
    if (at < size) this.#journal.truncate(at);
  }

  append(record: JournalRecord): void {
    this.#journal.write(recordBytes(record), { at: this.#journal.getSize() });
    this.#journal.flush();
  }

  /** The journal's bytes. */
  whole(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#journal.getSize());
    this.#journal.read(bytes, { at: 0 });
    return bytes;
  }

  /** All other files by their names. */
  async others(): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
    const files: Record<string, Uint8Array<ArrayBuffer>> = {};
    for await (const name of this.#folder.keys()) {
      const bytes = name === "journal" || name.endsWith(unfinished) ? undefined : await this.read(name);
      if (bytes !== undefined) files[name] = bytes;
    }
    return files;
  }

  /** Lets go of the journal: nothing is appended to it afterwards. */
  close(): void {
    this.#journal.close();
  }

  /** Replaces the journal: what is not in `bytes` is then nowhere any more. */
  async replace(bytes: Uint8Array): Promise<void> {
    this.#journal.close();
    try {
      await this.write("journal", bytes);
    } finally {
      const file = (await this.#folder.getFileHandle("journal", { create: true })) as FileHandle;
      this.#journal = await file.createSyncAccessHandle();
    }
  }

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const file = await (await this.#folder.getFileHandle(name)).getFile();
      return new Uint8Array(await file.arrayBuffer());
    } catch {
      return undefined;
    }
  }

  /** Replaces a file: a crash leaves the old one or the new one. */
  async write(name: string, bytes: Uint8Array): Promise<void> {
    const temporary = (await this.#folder.getFileHandle(name + unfinished, { create: true })) as FileHandle;
    const handle = await temporary.createSyncAccessHandle();
    handle.truncate(0);
    handle.write(bytes, { at: 0 });
    handle.flush();
    handle.close();
    if (temporary.move !== undefined) {
      await temporary.move(name);
      return;
    }
    const file = (await this.#folder.getFileHandle(name, { create: true })) as FileHandle;
    const own = await file.createSyncAccessHandle();
    own.truncate(0);
    own.write(bytes, { at: 0 });
    own.flush();
    own.close();
    await this.remove(name + unfinished);
  }

  async remove(name: string): Promise<void> {
    await this.#folder.removeEntry(name).catch(() => undefined);
  }
}
