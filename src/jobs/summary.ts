import type { Manifest } from "../artifact/manifest.ts";

/** What a distillation reports when it has ended. Accuracies are fractions. */
export interface DistillSummary {
  readonly out: string;
  readonly manifest: Manifest;
  /** Seconds spent distilling, without reading features and evaluating. */
  readonly seconds: number;
  readonly peakMemoryBytes: number;
}
