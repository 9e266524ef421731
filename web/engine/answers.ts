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

/** What all images of a project give, solved anew when they change. */
export class Answers {
  readonly #project: Project;
  readonly #gemm: Gemm;
  readonly #send: (event: Events) => void;
  #answer: Answer | undefined;
  #answering: "no" | "yes" | "again" = "no";

  constructor(project: Project, gemm: Gemm, send: (event: Events) => void) {
    this.#project = project;
    this.#gemm = gemm;
    this.#send = send;
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
      // Images are read for as long as the answer took.
      await new Promise((resolve) => setTimeout(resolve, performance.now() - began));
    } while ((this.#answering as string) === "again");
    this.#answering = "no";
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
