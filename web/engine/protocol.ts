/** What the page and the worker that computes say to each other. */

/** Index in this list is the class's label in features, probes and sets. */
export interface ClassInfo {
  readonly id: string;
  readonly name: string;
}

/** An image as the page shows it: its features stay in the worker. */
export interface ImageInfo {
  readonly id: string;
  readonly classId: string;
  readonly name: string;
  /** What the encoder sees of it. */
  readonly thumbnail: Blob;
}

/** Class of an image, with probabilities in the order of the classes. */
export interface Classified {
  readonly probabilities: readonly number[];
  /** Whether it may be of none of the classes. */
  readonly unknown: boolean;
  /**
   * How much speaks for that, from 0 to 1: more than a half exactly where the image is unknown. Undefined without a
   * threshold.
   */
  readonly none: number | undefined;
}

export interface Suspect {
  readonly imageId: string;
  readonly label: number;
  readonly suggested: number;
  readonly probability: number;
}

/** What all images so far give. */
export interface AnswerInfo {
  readonly classes: readonly ClassInfo[];
  readonly images: number;
  /** Leave-one-out accuracy, a fraction. */
  readonly accuracy: number;
  /** confusion[label][prediction]: ids of images. */
  readonly confusion: readonly (readonly (readonly string[])[])[];
  readonly suspects: readonly Suspect[];
  readonly milliseconds: number;
}

/** `auto` is the GPU where it is right and quicker. */
export type ComputeDevice = "auto" | "wasm" | "webgpu";

export interface DistillOptions {
  /** Synthetic images per class. */
  readonly ipc: number;
  /** Time that it may take; the number of steps is chosen for it. */
  readonly minutes: number;
  /** The number of steps, where it is given instead. */
  readonly steps?: number | undefined;
  /** Whether mirrored images mean the same; by default it is found out from the images. */
  readonly mirror?: boolean | undefined;
  readonly device: ComputeDevice;
}

export type DistillPhase = "starting" | "running" | "paused" | "finishing" | "done";

export interface DistillInfo {
  readonly phase: DistillPhase;
  readonly step: number;
  readonly steps: number;
  readonly classes: readonly ClassInfo[];
  readonly ipc: number;
  readonly loss: readonly number[];
  /** Accuracy on held-out images, by the step it was measured after. */
  readonly heldOut: readonly { readonly step: number; readonly accuracy: number }[];
  readonly heldOutImages: number;
  readonly secondsPerStep: number;
  readonly size: number;
  /** What was found out before the first step. */
  readonly notes: readonly string[];
}

/** A set that was made here or dropped on the page. */
export interface SetInfo {
  readonly name: string;
  readonly classes: readonly string[];
  readonly size: number;
  /** Class of each image. */
  readonly labels: readonly number[];
  /** RGBA, size × size, one for each image. */
  readonly images: readonly Uint8ClampedArray<ArrayBuffer>[];
  readonly top1: number | undefined;
  readonly heldOutImages: number;
  readonly stopped: string | undefined;
  /** Why the open encoder cannot classify with it; undefined where it can. */
  readonly refusal: string | undefined;
}

export interface EncoderInfo {
  readonly id: string;
  readonly size: number;
  readonly featureSize: number;
  readonly threads: number;
  readonly license: string | undefined;
}

export interface ProjectSummary {
  readonly id: string;
  /** Empty where none was given. */
  readonly name: string;
}

export interface ProjectInfo {
  readonly name: string;
  /** All projects, this one included. */
  readonly projects: readonly ProjectSummary[];
  readonly classes: readonly ClassInfo[];
  readonly images: readonly ImageInfo[];
  /** False where the browser gives no place to keep anything. */
  readonly kept: boolean;
  /** Images that are kept, but whose features are of another encoder. */
  readonly leftOut: number;
  readonly encoder: EncoderInfo;
}

/** Under which an image may be passed on, where it is known: sets that are made from it name it. */
export interface ImageLicense {
  readonly name: string;
  readonly author: string;
  readonly spdx: string;
  readonly url: string;
}

/** A file to add, with the class it goes to. */
export interface FileToAdd {
  readonly classId: string;
  readonly license?: ImageLicense;
  readonly name: string;
  readonly content: Blob | ImageBitmap;
}

export interface Settings {
  /** Id of the project that is opened: made where there is none. */
  readonly project: string;
  /** Address of the folder with ONNX Runtime's files, and of the embedded encoder. */
  readonly runtime: string;
  readonly encoder: string;
  readonly threads: number;
}

/** Functions of the worker. */
export interface Requests {
  open(settings: Settings): ProjectInfo;
  rename(name: string): void;
  addClass(id: string, name: string): void;
  renameClass(id: string, name: string): void;
  removeClass(id: string): void;
  add(files: readonly FileToAdd[]): void;
  moveImage(id: string, classId: string): void;
  removeImage(id: string): void;
  classify(content: Blob | ImageBitmap, withSet: boolean): Classified | undefined;
  distill(options: DistillOptions): void;
  pause(): void;
  resume(): void;
  /** Ends the distillation with the set as it is. */
  stop(): void;
  discardSet(): void;
  zip(): Uint8Array<ArrayBuffer>;
  pngs(): Uint8Array<ArrayBuffer>;
  /** The set as one ONNX classifier, zipped: what `clp-dd export` writes. */
  classifier(): Uint8Array<ArrayBuffer>;
  openSet(name: string, zip: Uint8Array): void;
  exportProject(): Uint8Array<ArrayBuffer>;
  /** @returns the id of the project that was made of the file */
  importProject(zip: Uint8Array): string;
  /** Makes a project with another encoder: features are of one encoder alone. @returns its id */
  useEncoder(name: string, bytes: Uint8Array): string;
  /** The same with one of the hub's, by its name there or a short one: on the page that may reach the hub alone. */
  useHubEncoder(name: string, hubUrl: string): string;
  /** @returns the projects that are left */
  deleteProject(): readonly ProjectSummary[];
}

export type Events =
  | {
      readonly event: "progress";
      readonly what: "runtime" | "encoder";
      readonly loaded: number;
      readonly total: number;
    }
  | { readonly event: "image"; readonly image: ImageInfo; readonly left: number }
  | { readonly event: "unreadable"; readonly name: string; readonly reason: string; readonly left: number }
  | { readonly event: "answer"; readonly answer: AnswerInfo | undefined }
  | { readonly event: "distillation"; readonly info: DistillInfo | undefined }
  | { readonly event: "preview"; readonly images: readonly Uint8ClampedArray<ArrayBuffer>[] }
  | { readonly event: "set"; readonly set: SetInfo | undefined }
  | { readonly event: "failed"; readonly message: string };

export type Name = keyof Requests;
export interface Request {
  readonly id: number;
  readonly name: Name;
  readonly args: readonly unknown[];
}
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };
