import { type RealFeatures, sha256, splitOf } from "../../src/browser/index.ts";
import type { ClassInfo, ImageInfo, ImageLicense } from "./protocol.ts";
import { type JournalRecord, recordBytes } from "./records.ts";
import type { Storage } from "./storage.ts";

/** An image with what is computed from it. */
interface Kept extends Omit<ImageInfo, "classId"> {
  classId: string;
  /** Of the file's bytes, or of a camera's pixels. */
  readonly hash: string;
  readonly features: Float32Array;
  readonly license?: ImageLicense | undefined;
}

/** What happened to a project, as its journal has it. */
type Change =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "class"; readonly id: string; readonly name: string }
  | { readonly kind: "remove class"; readonly id: string }
  | {
      readonly kind: "image";
      readonly id: string;
      readonly classId: string;
      readonly name: string;
      readonly hash: string;
      /** Of the thumbnail; the features' bytes are behind it. */
      readonly thumbnail: { readonly type: string; readonly bytes: number };
      /** Which encoder the features are of. */
      readonly encoder: string;
      readonly license?: ImageLicense;
    }
  | { readonly kind: "move"; readonly id: string; readonly classId: string }
  | { readonly kind: "remove"; readonly id: string };

const noBytes = new Uint8Array(0);

/** Classes and images, kept in a journal. */
export class Project {
  name = "";
  /** Images in the journal whose features are of another encoder: they stay there, but are of no use. */
  leftOut = 0;
  readonly #classes = new Map<string, string>();
  readonly #images = new Map<string, Kept>();
  readonly #storage: Storage | undefined;
  readonly #encoder: string;
  /** Records of images while they are loaded, for a journal without what was removed. */
  readonly #recorded = new Map<string, JournalRecord>();

  private constructor(storage: Storage | undefined, encoder: string) {
    this.#storage = storage;
    this.#encoder = encoder;
  }

  /**
   * The project that was kept, empty at first.
   * @param encoder what names the encoder and how it is used: features of another are of no use, and left out
   */
  static async load(storage: Storage | undefined, encoder: string): Promise<Project> {
    const project = new Project(storage, encoder);
    let removed = false;
    for (const { json, bytes } of storage?.records() ?? []) {
      const change = json as Change;
      if (change.kind.startsWith("remove")) removed = true;
      project.#apply(change, bytes);
    }
    if (removed && project.leftOut === 0) await storage?.replace(project.#bytes());
    project.#recorded.clear();
    return project;
  }

  get classes(): ClassInfo[] {
    return Array.from(this.#classes, ([id, name]) => ({ id, name }));
  }

  get images(): ImageInfo[] {
    return Array.from(this.#images.values(), ({ id, classId, name, thumbnail }) => ({
      id,
      classId,
      name,
      thumbnail,
    }));
  }

  rename(name: string): void {
    this.#change({ kind: "name", name });
  }

  addClass(id: string, name: string): void {
    this.#change({ kind: "class", id, name });
  }

  removeClass(id: string): void {
    this.#change({ kind: "remove class", id });
  }

  moveImage(id: string, classId: string): void {
    this.#change({ kind: "move", id, classId });
  }

  removeImage(id: string): void {
    this.#change({ kind: "remove", id });
  }

  hasClass(id: string): boolean {
    return this.#classes.has(id);
  }

  async addImage(image: Omit<Kept, "id">): Promise<ImageInfo> {
    const id = crypto.randomUUID();
    const record = await imageRecord({ ...image, id }, this.#encoder);
    this.#storage?.append(record);
    this.#images.set(id, { ...image, id });
    const { classId, name, thumbnail } = image;
    return { id, classId, name, thumbnail };
  }

  /** The journal of the project as it was loaded. */
  #bytes(): Uint8Array<ArrayBuffer> {
    const parts: Uint8Array[] = [
      recordBytes({ json: { kind: "name", name: this.name } satisfies Change, bytes: noBytes }),
      ...this.classes.map(({ id, name }) =>
        recordBytes({ json: { kind: "class", id, name } satisfies Change, bytes: noBytes }),
      ),
      ...Array.from(this.#images.keys(), (id) => this.#recorded.get(id)).flatMap((record) =>
        record === undefined ? [] : [recordBytes(record)],
      ),
    ];
    const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  /**
   * Features of all images of classes that have some, with those classes. Images are ordered by class and by when they
   * came.
   */
  labeled(): { classes: ClassInfo[]; ids: string[]; features: Float32Array; labels: Int32Array } {
    const byClass = new Map<string, Kept[]>();
    for (const image of this.#images.values()) {
      const own = byClass.get(image.classId) ?? [];
      byClass.set(image.classId, own);
      own.push(image);
    }
    const classes = this.classes.filter(({ id }) => byClass.has(id));
    const images = classes.flatMap(({ id }) => byClass.get(id)!);
    const d = images[0]?.features.length ?? 0;
    const features = new Float32Array(images.length * d);
    for (const [i, image] of images.entries()) features.set(image.features, i * d);
    const labels = Int32Array.from(images, ({ classId }) => classes.findIndex(({ id }) => id === classId));
    return { classes, ids: images.map(({ id }) => id), features, labels };
  }

  /** The images that are distilled, and a fifth of them that are held out where every class has five or more. */
  async split(): Promise<{
    classes: ClassInfo[];
    train: RealFeatures;
    test: RealFeatures | undefined;
    /** Of the training images. */
    thumbnails: Blob[];
    licenses: ImageLicense[];
  }> {
    const { classes, ids, features, labels } = this.labeled();
    const counts = classes.map((_, label) => labels.filter((l) => l === label).length);
    const holdsOut = counts.every((count) => count >= 5);
    const { fit, held } = holdsOut ? splitOf(labels, 5, "held-out images") : { fit: ids.keys(), held: [] };
    const d = features.length / ids.length;
    const part = async (rows: readonly number[]): Promise<RealFeatures> => {
      const out = new Float32Array(rows.length * d);
      for (const [i, row] of rows.entries()) out.set(features.subarray(row * d, (row + 1) * d), i * d);
      const text = rows.map((row) => `${labels[row]} ${this.#images.get(ids[row]!)!.hash}\n`).join("");
      return {
        features: out,
        labels: Int32Array.from(rows, (row) => labels[row]!),
        fingerprint: await sha256(new TextEncoder().encode(text)),
      };
    };
    const trained = [...fit];
    return {
      classes,
      licenses: [
        ...new Map(
          trained.flatMap((row) => this.#images.get(ids[row]!)!.license ?? []).map((own) => [own.name, own]),
        ).values(),
      ],
      thumbnails: trained.map((row) => this.#images.get(ids[row]!)!.thumbnail),
      train: await part(trained),
      test: held.length === 0 ? undefined : await part(held),
    };
  }

  #change(change: Change): void {
    this.#storage?.append({ json: change, bytes: noBytes });
    this.#apply(change, noBytes);
  }

  #apply(change: Change, bytes: Uint8Array): void {
    switch (change.kind) {
      case "name":
        this.name = change.name;
        return;
      case "class":
        this.#classes.set(change.id, change.name);
        return;
      case "remove class":
        this.#classes.delete(change.id);
        for (const [id, { classId }] of this.#images) if (classId === change.id) this.#images.delete(id);
        return;
      case "image": {
        if (change.encoder !== this.#encoder) {
          this.leftOut++;
          return;
        }
        const { id, classId, name, hash, thumbnail, license } = change;
        this.#images.set(id, {
          id,
          classId,
          name,
          hash,
          license,
          thumbnail: new Blob([bytes.slice(0, thumbnail.bytes)], { type: thumbnail.type }),
          features: new Float32Array(bytes.slice(thumbnail.bytes).buffer),
        });
        this.#recorded.set(id, { json: change, bytes });
        return;
      }
      case "move": {
        const image = this.#images.get(change.id);
        if (image === undefined) return;
        image.classId = change.classId;
        const record = this.#recorded.get(change.id);
        if (record !== undefined) {
          const json = { ...(record.json as Change), classId: change.classId };
          this.#recorded.set(change.id, { ...record, json });
        }
        return;
      }
      case "remove":
        this.#images.delete(change.id);
        return;
    }
  }
}

async function imageRecord(image: Kept, encoder: string): Promise<JournalRecord> {
  const { id, classId, name, hash, thumbnail, features, license } = image;
  const picture = new Uint8Array(await thumbnail.arrayBuffer());
  const numbers = new Uint8Array(features.buffer, features.byteOffset, features.byteLength);
  const bytes = new Uint8Array(picture.length + numbers.length);
  bytes.set(picture);
  bytes.set(numbers, picture.length);
  const json: Change = {
    kind: "image",
    id,
    classId,
    name,
    hash,
    thumbnail: { type: thumbnail.type, bytes: picture.length },
    encoder,
    ...(license === undefined ? {} : { license }),
  };
  return { json, bytes };
}
