import { pickImages } from "../data/pick.ts";
import type { RunContext } from "../features/run-context.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { randomImages } from "../select/coresets.ts";
import { defaultDraws, type FeatureAugmenter } from "./augmented-features.ts";
import {
  evaluateFullData,
  evaluateSet,
  type ProbeResult,
  type Protocol,
  type TrainingSet,
} from "./protocol.ts";
import { plainFeatures, type TrainingFeatures } from "./training-features.ts";

/**
 * What sets are compared with under one encoder: the full training data and random real images, under the same
 * probes. Each is measured once and kept, for all artifacts that it serves.
 */
export class References {
  readonly #place: RunContext;
  readonly #protocol: Protocol;
  readonly #augmenter: FeatureAugmenter | undefined;
  readonly #draws: number | "each epoch";
  /** Epochs of the heads on the full data. */
  readonly fullEpochs: number;
  readonly #fullSeeds: readonly number[];
  readonly #results = new Map<string, Promise<ProbeResult[]>>();

  /** @param fullEpochs epochs of the heads on the full data, and `fullSeeds` their seeds; by default the protocol's */
  constructor(
    place: RunContext,
    protocol: Protocol,
    augmenter?: FeatureAugmenter,
    draws: number | "each epoch" = defaultDraws,
    fullEpochs: number = protocol.epochs,
    fullSeeds: readonly number[] = protocol.seeds,
  ) {
    this.#place = place;
    this.#protocol = protocol;
    this.#augmenter = augmenter;
    this.#draws = draws;
    this.fullEpochs = fullEpochs;
    this.#fullSeeds = fullSeeds;
  }

  /** All training features: the closed form after `map`, the heads on raw features. */
  async full(map: FeatureMap): Promise<ProbeResult[]> {
    const protocol = { ...this.#protocol, epochs: this.fullEpochs, seeds: this.#fullSeeds };
    const { probes } = protocol;
    const closed = await this.#once(`full ${map.normalization}`, () =>
      evaluateFullData(
        this.#place.train,
        { ...protocol, probes: probes.filter((p) => p === "closed-form") },
        map,
      ),
    );
    const heads = await this.#once("full heads", () =>
      evaluateFullData(
        this.#place.train,
        { ...protocol, probes: probes.filter((p) => p !== "closed-form") },
        map,
      ),
    );
    return [...closed, ...heads];
  }

  /** `ipc` random real images per class, other ones for each seed. */
  async random(
    ipc: number,
    map: FeatureMap,
    lambda: number,
    augmented: readonly boolean[],
  ): Promise<ProbeResult[]> {
    const set = this.#randomSet(ipc);
    const { probes } = this.#protocol;
    const results: ProbeResult[] = [];
    for (const with_ of augmented) {
      const part = (key: string, closedForm: boolean) =>
        this.#once(`random ${ipc} ${with_} ${key}`, () =>
          evaluateSet(
            set,
            { ...this.#protocol, probes: probes.filter((p) => (p === "closed-form") === closedForm) },
            with_,
            { map, lambda },
          ),
        );
      results.push(...(await part(`${map.normalization} ${lambda}`, true)), ...(await part("heads", false)));
    }
    return results;
  }

  #once(key: string, measure: () => Promise<ProbeResult[]>): Promise<ProbeResult[]> {
    const known = this.#results.get(key) ?? measure();
    this.#results.set(key, known);
    return known;
  }

  #randomSet(ipc: number): TrainingSet {
    const { source, train, encoder } = this.#place;
    const classes = source.classes.length;
    const drawn = new Map<number, TrainingFeatures>();
    return {
      changesWithSeed: true,
      training: async (seed, augmented) => {
        const rows = randomImages(train.labels, classes, ipc, seed);
        const labels = Int32Array.from(rows, (row) => train.labels[row]);
        if (!augmented) {
          const features = new Float32Array(rows.length * train.featureSize);
          await train.rows(rows, features);
          return plainFeatures(features, labels);
        }
        const known = drawn.get(seed);
        if (known !== undefined) return known;
        const indices = Int32Array.from(rows, (row) => train.imageIndices?.[row] ?? row);
        const images = await pickImages(source, "train", indices, encoder.preprocessing);
        const made = this.#augmenter!.training(images, labels, seed, this.#draws);
        drawn.set(seed, made);
        return made;
      },
    };
  }
}
