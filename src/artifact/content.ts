import type { ClosedFormProbe } from "../probe/closed-form.ts";
import type { Novelty } from "../probe/novelty.ts";
import type { Level } from "../synthetic/parameters.ts";
import type { CurvePoint, Manifest } from "./manifest.ts";

/** A stretch of the synthetic images, [count, 3, size, size] in [0, 1]. */
export interface ImageChunk {
  readonly start: number;
  readonly count: number;
  readonly images: Float32Array;
}

/** A probe as it is written. */
export interface WrittenProbe extends ClosedFormProbe {
  readonly novelty?: Novelty;
}

/** What a run leaves. Images come chunk by chunk, as often as they are asked for. */
export interface ArtifactContent {
  readonly manifest: Omit<Manifest, "folders" | "files">;
  readonly images: () => AsyncIterable<ImageChunk>;
  /** Class of each image, m. */
  readonly labels: Int32Array;
  /** Labels that a probe is solved with, m × C. */
  readonly softLabels: Float32Array;
  /** Absent for real images. */
  readonly levels?: readonly Level[];
  readonly probe: WrittenProbe;
  /** Of the manifest's further encoders. */
  readonly otherProbes?: readonly WrittenProbe[];
  /** Lines of metrics.jsonl. */
  readonly curve: readonly CurvePoint[];
}
