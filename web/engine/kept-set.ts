import { unzipSync, zipSync } from "fflate";
import {
  type ArtifactInMemory,
  classifierFiles,
  type OpenedEncoder,
  type Probe,
  readArtifactFiles,
} from "../../src/browser/index.ts";
import type { Events } from "./protocol.ts";
import { setInfo } from "./set-info.ts";
import type { Storage } from "./storage.ts";

const setFile = "set.zip";

/** The set that was made or dropped: one at a time. */
export class KeptSet {
  readonly #storage: Storage | undefined;
  readonly #opened: OpenedEncoder;
  readonly #send: (event: Events) => void;
  #set: { readonly zip: Uint8Array; readonly read: ArtifactInMemory; readonly fits: boolean } | undefined;

  constructor(storage: Storage | undefined, opened: OpenedEncoder, send: (event: Events) => void) {
    this.#storage = storage;
    this.#opened = opened;
    this.#send = send;
  }

  /** Where the open encoder is the set's. */
  get probe(): Probe | undefined {
    return this.#set?.fits ? this.#set.read.probe : undefined;
  }

  /** Shows what was kept, if anything. */
  async restore(name: string): Promise<void> {
    const zip = await this.#storage?.read(setFile);
    if (zip !== undefined) await this.#show(name, zip);
  }

  /** Shows a set in place of the last one, and keeps it. @throws DataError for files that are not a set */
  async keep(name: string, zip: Uint8Array): Promise<void> {
    await this.#show(name, zip);
    await this.#storage?.write(setFile, zip);
  }

  async discard(): Promise<void> {
    this.#set = undefined;
    await this.#storage?.remove(setFile);
    this.#send({ event: "set", set: undefined });
  }

  async #show(name: string, zip: Uint8Array): Promise<void> {
    const read = await readArtifactFiles(unzipSync(zip), name);
    const set = setInfo(name, read, this.#opened.encoder);
    this.#set = { zip, read, fits: set.refusal === undefined };
    this.#send({ event: "set", set });
  }

  zip(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#set!.zip);
  }

  pngs(): Uint8Array<ArrayBuffer> {
    const images = Object.entries(unzipSync(this.#set!.zip)).filter(([name]) => name.endsWith(".png"));
    // PNGs are compressed already.
    return zipSync(Object.fromEntries(images), { level: 0 }) as Uint8Array<ArrayBuffer>;
  }

  async classifier(): Promise<Uint8Array<ArrayBuffer>> {
    const { runtime, encoder } = this.#opened;
    const files = await classifierFiles(runtime, encoder, this.#set!.read);
    // Weights hardly get smaller.
    return zipSync({ ...files }, { level: 0 }) as Uint8Array<ArrayBuffer>;
  }
}
