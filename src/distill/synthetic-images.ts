import type { Edit } from "../images/edits.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";

/** The synthetic images of a run as a step sees them, wherever they are computed. */
export interface StepImages {
  /** m. */
  readonly count: number;
  /** d, of all encoders together: an image's features are one row, those of the first encoder first. */
  readonly featureSize: number;
  /** Levels that the images have in the end. */
  readonly levelCount: number;
  /** Features of every view in step `step`, views · m × d, at `levels` levels: those that are missing are added first. */
  features(step: number, levels: number): Promise<Float32Array>;
  /**
   * One Adam step along the cotangents of the latest features. It may still be under way when this returns: what goes
   * wrong is thrown by the next call.
   */
  update(cotangents: Float32Array, learningRate: number): void;
  release(): Promise<void>;
}

/** The synthetic images of a run, with what is asked of them between steps and after the last. */
export interface SyntheticImages extends StepImages {
  /** Waits for the latest update. */
  settled(): Promise<void>;
  /** Features of the images as they are, m × d. */
  plainFeatures(): Promise<Float32Array>;
  /** Features, m × d, of the images after an edit. */
  editedFeatures(edit: Edit): Promise<Float32Array>;
  /** The images as they are, [n, 3, size, size] in [0, 1], some at a time. */
  rendered(): AsyncGenerator<RenderedImages>;
  /** Gives up what features are computed with, and its memory: from now on only images and parameters are asked for. */
  keepOnlyParameters(): Promise<void>;
  /** Parameters and Adam's state, as copies. */
  parameters(): Promise<SyntheticParameters>;
  /** Hands the parameters to `save`, whose result gives them back should some be lost. */
  saved(save: (parameters: SyntheticParameters) => Promise<Reload>): Promise<void>;
}

/** Gives parameters back that were saved. */
export type Reload = () => Promise<SyntheticParameters>;

/** Images of consecutive numbers from `start` on. */
export interface RenderedImages {
  readonly start: number;
  readonly count: number;
  readonly images: Float32Array;
}
