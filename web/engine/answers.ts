import {
  type Answer,
  answer,
  featuresInMemory,
  type Gemm,
  messageOf,
  type Probe,
} from "../../src/browser/index.ts";
import type { Project } from "./project.ts";
import type { AnswerInfo, Events } from "./protocol.ts";

/** While images wait to be read, they get so many times the time that the latest answer took. */
const imagesShare = 4;
/** Milliseconds after which is looked again whether images wait. */
const lookEvery = 50;

/** What all images of a project give, solved anew when they change. */
export class Answers {
  readonly #project: Project;
  readonly #gemm: Gemm;
  readonly #send: (event: Events) => void;
  readonly #imagesWait: () => boolean;
  #answer: Answer | undefined;
  #answering: "no" | "yes" | "again" = "no";

  /** @param imagesWait whether images are there that were not read yet */
  constructor(project: Project, gemm: Gemm, send: (event: Events) => void, imagesWait: () => boolean) {
    this.#project = project;
    this.#gemm = gemm;
    this.#send = send;
    this.#imagesWait = imagesWait;
  }

  /** Of the latest answer; undefined before there is one. */
  get probe(): Probe | undefined {
    return this.#answer?.probe;
  }

  /** Solves the probe anew; where that takes long and images come, not after every one. */
  soon(): void {
    void this.#solveAll();
  }

  async #solveAll(): Promise<void> {
    if (this.#answering !== "no") {
      this.#answering = "again";
      return;
    }
    do {
      this.#answering = "yes";
      const began = performance.now();
      try {
        this.#send({ event: "answer", answer: await this.#solve() });
      } catch (error) {
        this.#send({ event: "failed", message: messageOf(error) });
      }
      await this.#letImagesBeRead(performance.now() - began);
    } while ((this.#answering as string) === "again");
    this.#answering = "no";
  }

  async #letImagesBeRead(milliseconds: number): Promise<void> {
    const began = performance.now();
    const since = () => performance.now() - began;
    while (since() < milliseconds || (this.#imagesWait() && since() < imagesShare * milliseconds))
      await new Promise((resolve) => setTimeout(resolve, Math.min(milliseconds, lookEvery)));
  }

  async #solve(): Promise<AnswerInfo | undefined> {
    const { classes, ids, features, labels } = this.#project.labeled();
    if (classes.length < 2) {
      this.#answer = undefined;
      return undefined;
    }
    const began = performance.now();
    const solved = await answer(featuresInMemory(features, labels), classes.length, this.#gemm);
    this.#answer = solved;
    const confusion = classes.map(() => classes.map((): string[] => []));
    for (const [i, id] of ids.entries()) confusion[labels[i]!]![solved.predicted[i]!]!.push(id);
    return {
      classes,
      images: ids.length,
      accuracy: solved.accuracy,
      confusion,
      suspects: solved.suspects.slice(0, 24).map(({ row, label, suggested, suggestedProbability }) => ({
        imageId: ids[row]!,
        label,
        suggested,
        probability: suggestedProbability,
      })),
      milliseconds: performance.now() - began,
    };
  }
}
