import { unzipSync, zipSync } from "fflate";
import {
  chooseGemm,
  type Encoder,
  type EncoderFile,
  featureName,
  fetchHubEncoder,
  jsGemm,
  messageOf,
  openEncoderFile,
  ortGemm,
  type Probe,
  pixelInput,
  type Runtime,
  sha256,
  webRuntime,
} from "../../src/browser/index.ts";
import { Answers } from "./answers.ts";
import { classified } from "./classified.ts";
import { pixelsOf, thumbnailOf } from "./decode.ts";
import { Distillations } from "./distillations.ts";
import { encoderOf, filesOfEncoder } from "./encoder-source.ts";
import { fetchBytes } from "./fetch-bytes.ts";
import { KeptSet } from "./kept-set.ts";
import { Project } from "./project.ts";
import {
  listProjects,
  makeProject,
  nameFile,
  projectFiles,
  projectOfFiles,
  removeProject,
} from "./projects.ts";
import type {
  Classified,
  DistillOptions,
  EncoderInfo,
  Events,
  FileToAdd,
  ProjectSummary,
  Reply,
  Request,
  Requests,
  Settings,
} from "./protocol.ts";
import { Storage } from "./storage.ts";

type Implementations = { [N in keyof Requests]: (...args: Parameters<Requests[N]>) => unknown };

const send = (event: Events) => postMessage(event);

/** Lets messages in: a step blocks this thread. */
const breathe = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Everything that is computed and kept. */
class Workshop implements Implementations {
  #id = "";
  #storage: Storage | undefined;
  #runtime!: Runtime;
  #encoder!: Encoder;
  #project!: Project;
  #answers!: Answers;
  #distillations!: Distillations;
  #set!: KeptSet;
  readonly #queue: FileToAdd[] = [];
  #adding = false;

  async open({ project, runtime, encoder, threads }: Settings) {
    this.#id = project;
    this.#storage = await Storage.open(project);
    const progress = (what: "runtime" | "encoder") => (loaded: number, total: number) =>
      send({ event: "progress", what, loaded, total });
    const [{ buffer }, file] = await Promise.all([
      fetchBytes(`${runtime}ort-wasm-simd-threaded.wasm`, progress("runtime")),
      encoderOf(this.#storage, encoder, progress("encoder")),
    ]);
    this.#runtime = webRuntime({ wasmPaths: runtime, wasmBinary: buffer, threads });
    this.#encoder = await openEncoderFile(this.#runtime, file);
    const gemm = chooseGemm(jsGemm, ortGemm(this.#runtime));
    const { provenance, preprocessing } = this.#encoder;
    const names = [provenance.sha256, featureName(this.#encoder), JSON.stringify(preprocessing)].join(" ");
    this.#project = await Project.load(this.#storage, await sha256(new TextEncoder().encode(names)));
    this.#answers = new Answers(this.#project, gemm, send, () => this.#queue.length > 0);
    const opened = { runtime: this.#runtime, encoder: this.#encoder };
    this.#set = new KeptSet(this.#storage, opened, send);
    this.#distillations = new Distillations({
      ...opened,
      ...{ file, ortFolder: runtime, gemm, breathe, send },
      storage: this.#storage,
      project: this.#project,
      set: this.#set,
    });
    const projects = await listProjects();
    // What else was kept comes after the page shows itself.
    setTimeout(() => void this.#restore(), 0);
    return {
      name: this.#project.name,
      projects,
      leftOut: this.#project.leftOut,
      classes: this.#project.classes,
      images: this.#project.images,
      kept: this.#storage !== undefined,
      encoder: this.#encoderInfo(),
    };
  }

  async rename(name: string): Promise<void> {
    this.#project.rename(name);
    await this.#storage?.write(nameFile, new TextEncoder().encode(name));
  }

  addClass(id: string, name: string): void {
    this.#project.addClass(id, name);
  }

  renameClass(id: string, name: string): void {
    this.#project.addClass(id, name);
    this.#answers.soon();
  }

  removeClass(id: string): void {
    this.#project.removeClass(id);
    this.#answers.soon();
  }

  moveImage(id: string, classId: string): void {
    this.#project.moveImage(id, classId);
    this.#answers.soon();
  }

  removeImage(id: string): void {
    this.#project.removeImage(id);
    this.#answers.soon();
  }

  add(files: readonly FileToAdd[]): void {
    this.#queue.push(...files);
    if (!this.#adding) void this.#addAll();
  }

  async #addAll(): Promise<void> {
    this.#adding = true;
    for (let file = this.#queue.shift(); file !== undefined; file = this.#queue.shift()) {
      const { classId, name, content, license } = file;
      const left = this.#queue.length;
      try {
        const { features, input, hash } = await this.#encoded(content);
        if (!this.#project.hasClass(classId)) continue;
        const [height, width] = this.#encoder.preprocessing.crop;
        const thumbnail = await thumbnailOf(input, width, height);
        const image = await this.#project.addImage({
          ...{ classId, name, hash, thumbnail, features, license },
        });
        send({ event: "image", image, left });
      } catch (error) {
        send({ event: "unreadable", name, reason: messageOf(error), left });
      }
      this.#answers.soon();
      await breathe();
    }
    this.#adding = false;
  }

  /** An image's features, what the encoder saw of it, and its hash. */
  async #encoded(content: Blob | ImageBitmap) {
    const pixels = await pixelsOf(content);
    const input = pixelInput([pixels], this.#encoder.preprocessing);
    const bytes = content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : input;
    const features = await this.#encoder.features(input, 1);
    return { features, input, hash: await sha256(bytes) };
  }

  async classify(content: Blob | ImageBitmap, withSet: boolean): Promise<Classified | undefined> {
    const probe: Probe | undefined = withSet ? this.#set.probe : this.#answers.probe;
    if (probe === undefined) return undefined;
    return classified(probe, (await this.#encoded(content)).features);
  }

  distill(options: DistillOptions): Promise<void> {
    return this.#distillations.start(options);
  }

  pause(): void {
    this.#distillations.pause();
  }

  resume(): void {
    this.#distillations.resume();
  }

  stop(): void {
    this.#distillations.stop();
  }

  /** Shows the last set, and takes up a distillation that a reload or a crash cut short. */
  async #restore(): Promise<void> {
    try {
      this.#answers.soon();
      await this.#set.restore(this.#project.name || "images");
      await this.#distillations.restore();
    } catch (error) {
      send({ event: "failed", message: messageOf(error) });
    }
  }

  discardSet(): Promise<void> {
    return this.#set.discard();
  }

  openSet(name: string, zip: Uint8Array): Promise<void> {
    return this.#set.keep(name, zip);
  }

  zip(): Uint8Array<ArrayBuffer> {
    return this.#set.zip();
  }

  pngs(): Uint8Array<ArrayBuffer> {
    return this.#set.pngs();
  }

  classifier(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#set.classifier();
  }

  async exportProject(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#storage === undefined) throw new Error("This browser keeps no project that could be saved.");
    return zipSync(await projectFiles(this.#storage), { level: 0 }) as Uint8Array<ArrayBuffer>;
  }

  importProject(zip: Uint8Array): Promise<string> {
    return projectOfFiles(unzipSync(zip));
  }

  useEncoder(name: string, bytes: Uint8Array): Promise<string> {
    return this.#projectWith({ id: name, bytes });
  }

  async useHubEncoder(name: string, hubUrl: string): Promise<string> {
    const onProgress = (loaded: number, total: number) =>
      send({ event: "progress", what: "encoder", loaded, total });
    try {
      return await this.#projectWith(await fetchHubEncoder(name, { hubUrl, fetchBytes, onProgress }));
    } finally {
      send({ event: "progress", what: "encoder", loaded: 0, total: 0 });
    }
  }

  async #projectWith(file: EncoderFile): Promise<string> {
    // Read once here: what is not an encoder is refused before anything is put away.
    const opened = await openEncoderFile(this.#runtime, file);
    opened.requirePullback();
    await opened.release();
    return makeProject({
      ...filesOfEncoder(file),
      [nameFile]: new TextEncoder().encode(file.id),
    });
  }

  async deleteProject(): Promise<readonly ProjectSummary[]> {
    await this.#distillations.release();
    this.#storage?.close();
    if (this.#storage !== undefined) await removeProject(this.#id);
    return listProjects();
  }

  #encoderInfo(): EncoderInfo {
    const { provenance, preprocessing, featureSize } = this.#encoder;
    return {
      id: provenance.id,
      size: preprocessing.crop[0],
      featureSize,
      threads: this.#runtime.threads,
      license: provenance.license,
    };
  }
}

const workshop = new Workshop();

addEventListener("message", async ({ data }: MessageEvent<Request>) => {
  const { id, name, args } = data;
  let reply: Reply;
  try {
    const method = workshop[name] as (...args: unknown[]) => unknown;
    reply = { id, value: await method.apply(workshop, [...args]) };
  } catch (error) {
    reply = { id, error: messageOf(error) };
  }
  postMessage(reply);
});
