import type { Artifact } from "../artifact/read-artifact.ts";
import type { EditedAccuracy } from "./measure-edits.ts";
import type { ProbeResult } from "./protocol.ts";

/** How well one artifact does on the test images of a data set, under one encoder. */
export interface Evaluation {
  readonly artifact: string;
  /** How its images came about: "distilled", or a baseline's name. */
  readonly kind: Artifact["manifest"]["kind"];
  /** What it was made by: the preset or the objective of a distillation, the baseline's name else. */
  readonly method: string;
  readonly data: string;
  /** The encoder it is evaluated on, with the side of its images: `name@128`. */
  readonly encoder: string;
  /** The encoder it was distilled with. */
  readonly distilledWith: string;
  readonly images: number;
  readonly ipc: number;
  /** Seconds and bytes that making the set took. */
  readonly seconds: number;
  readonly peakMemoryBytes: number;
  /** Test images. */
  readonly count: number;
  readonly probes: readonly ProbeResult[];
  /** The same probes on all training features and on as many random images per class; empty if not asked for. */
  readonly full: readonly ProbeResult[];
  readonly random: readonly ProbeResult[];
  /**
   * Expected calibration error (15 bins) of the recorded probe's probabilities on the test images, a fraction; absent under
   * another encoder than the set's, and for sets without a temperature.
   */
  readonly calibrationError?: number;
  /** The closed form after edits; absent if not asked for, and for the full data. */
  readonly edits?: EditedAccuracy;
  /** Evaluation augmentation's draws of each image and seed, epochs of a head. */
  readonly draws: number | "each epoch";
  readonly epochs: number;
  /** Epochs of the heads on the full data, where these were asked for and are others. */
  readonly fullEpochs?: number;
}
