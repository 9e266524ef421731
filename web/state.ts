import { computed, signal } from "@preact/signals";
import { Engine } from "./engine/client.ts";
import type {
  AnswerInfo,
  ClassInfo,
  DistillInfo,
  EncoderInfo,
  Events,
  FileToAdd,
  ImageInfo,
  ProjectSummary,
  SetInfo,
} from "./engine/protocol.ts";
import { type Progress, texts } from "./texts.ts";

/** What the page shows. The worker has the truth; this follows it. */
export const loading = signal<string | undefined>(texts.loading.runtime);
export const ready = signal(false);
export const encoder = signal<EncoderInfo | undefined>(undefined);
export const kept = signal(true);
export const leftOut = signal(0);
export const projectName = signal("");
export const projects = signal<readonly ProjectSummary[]>([]);
export const classes = signal<readonly ClassInfo[]>([]);
/** Images with the address of their thumbnail. */
export const images = signal<readonly (ImageInfo & { readonly url: string })[]>([]);
export const left = signal(0);
export const unreadable = signal<readonly { readonly name: string; readonly reason: string }[]>([]);
export const answer = signal<AnswerInfo | undefined>(undefined);
export const distillation = signal<DistillInfo | undefined>(undefined);
export const preview = signal<readonly Uint8ClampedArray<ArrayBuffer>[]>([]);
export const set = signal<SetInfo | undefined>(undefined);
export const failure = signal<string | undefined>(undefined);
export const crashed = signal(false);
/** The class that pasted images go to. */
export const lastClass = signal<string | undefined>(undefined);

export const imagesByClass = computed(() => {
  const byClass = new Map<string, (ImageInfo & { readonly url: string })[]>();
  for (const image of images.value) {
    const own = byClass.get(image.classId);
    if (own) own.push(image);
    else byClass.set(image.classId, [image]);
  }
  return byClass;
});
export const filledClasses = computed(
  () => classes.value.filter(({ id }) => imagesByClass.value.has(id)).length,
);
export const busy = computed(() => distillation.value !== undefined && distillation.value.phase !== "done");

const withUrl = (image: ImageInfo) => ({ ...image, url: URL.createObjectURL(image.thumbnail) });

/** Images that came since the page was last drawn: thousands of them, one by one, would draw it thousands of times. */
let arrived: ImageInfo[] = [];

function showArrived(): void {
  const known = new Set(classes.value.map(({ id }) => id));
  images.value = [...images.value, ...arrived.filter(({ classId }) => known.has(classId)).map(withUrl)];
  arrived = [];
}

/** Whether the page could not start: why is shown, and nothing else. */
let failed = false;
let progress: Partial<Record<"runtime" | "encoder", Progress>> = {};

function onEvent(event: Events): void {
  switch (event.event) {
    case "progress":
      if (failed) return;
      progress = { ...progress, [event.what]: event };
      loading.value = event.total > 0 ? texts.loading.parts(progress.runtime, progress.encoder) : undefined;
      return;
    case "image":
      if (arrived.length === 0) setTimeout(showArrived, 60);
      arrived.push(event.image);
      left.value = event.left;
      return;
    case "unreadable":
      unreadable.value = [...unreadable.value, event];
      left.value = event.left;
      return;
    case "answer":
      answer.value = event.answer;
      return;
    case "distillation":
      // What is seen of the last run is not of this one.
      if (event.info?.phase === "starting") preview.value = [];
      distillation.value = event.info;
      return;
    case "preview":
      preview.value = event.images;
      return;
    case "set":
      set.value = event.set;
      if (event.set !== undefined && distillation.value?.phase === "done") distillation.value = undefined;
      return;
    case "failed":
      failure.value = texts.failed(event.message);
  }
}

export const engine = new Engine(onEvent, () => {
  crashed.value = true;
});

/** Runs a function of the worker's, and shows what goes wrong. */
export async function ask<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    failure.value = texts.failed(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** Of this tab, else of the one that was used last. */
export const projectId =
  sessionStorage.getItem("project") ??
  localStorage.getItem("project") ??
  // Where pages are not secure there is none: `start` says so.
  crypto.randomUUID?.();

function remember(id: string): void {
  sessionStorage.setItem("project", id);
  localStorage.setItem("project", id);
}

/** Opens another project in this tab: a new one where none is named. */
export function openProject(id: string = crypto.randomUUID()): void {
  remember(id);
  location.reload();
}

export async function start(): Promise<void> {
  try {
    if (!isSecureContext) throw new Error(texts.loading.insecure(location.origin));
    const place = new URL("./", document.baseURI).href;
    const project = await engine.call("open", [
      {
        project: projectId,
        runtime: `${place}ort/`,
        encoder: `${place}models/`,
        threads: Math.min(4, Math.max(1, navigator.hardwareConcurrency ?? 1)),
      },
    ]);
    remember(projectId);
    projectName.value = project.name;
    projects.value = project.projects;
    leftOut.value = project.leftOut;
    classes.value = project.classes;
    images.value = project.images.map(withUrl);
    encoder.value = project.encoder;
    kept.value = project.kept;
    loading.value = undefined;
    ready.value = true;
    if (project.classes.length === 0) for (const number of [1, 2]) addClass(texts.gather.newClass(number));
    // Asked for once something is worth keeping, some browsers say yes without a question.
    if (project.images.length > 0) void navigator.storage?.persist?.();
  } catch (error) {
    failed = true;
    loading.value = texts.loading.failed(error instanceof Error ? error.message : String(error));
  }
}

export function addClass(name: string): string {
  const id = crypto.randomUUID();
  classes.value = [...classes.value, { id, name }];
  void ask(() => engine.call("addClass", [id, name]));
  return id;
}

export function renameClass(id: string, name: string): void {
  classes.value = classes.value.map((c) => (c.id === id ? { id, name } : c));
  void ask(() => engine.call("renameClass", [id, name]));
}

export function removeClass(id: string): void {
  classes.value = classes.value.filter((c) => c.id !== id);
  images.value = images.value.filter(({ classId }) => classId !== id);
  void ask(() => engine.call("removeClass", [id]));
}

export function removeImage(id: string): void {
  images.value = images.value.filter((image) => image.id !== id);
  void ask(() => engine.call("removeImage", [id]));
}

export function moveImage(id: string, classId: string): void {
  images.value = images.value.map((image) => (image.id === id ? { ...image, classId } : image));
  void ask(() => engine.call("moveImage", [id, classId]));
}

export function renameProject(name: string): void {
  projectName.value = name;
  projects.value = projects.value.map((each) => (each.id === projectId ? { ...each, name } : each));
  void ask(() => engine.call("rename", [name]));
}

export function addFiles(files: readonly FileToAdd[]): void {
  if (files.length === 0) return;
  lastClass.value = files.at(-1)!.classId;
  left.value += files.length;
  void navigator.storage?.persist?.();
  const bitmaps = files.flatMap(({ content }) => (content instanceof ImageBitmap ? [content] : []));
  void ask(() => engine.call("add", [files], bitmaps));
}

/**
 * The class of a name, made where there is none. The first names take the places of classes that are still as the page
 * made them.
 */
export function classNamed(name: string): string {
  const known = classes.value.find((c) => c.name === name);
  if (known) return known.id;
  const unused = classes.value.find(
    (c, i) => c.name === texts.gather.newClass(i + 1) && !imagesByClass.value.has(c.id),
  );
  if (unused === undefined) return addClass(name);
  renameClass(unused.id, name);
  return unused.id;
}
