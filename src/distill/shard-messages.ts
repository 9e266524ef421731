import type { ChunkPlan } from "../encoder/chunks.ts";
import type { DistillConfig } from "../recipe/config.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";

/**
 * What the leader of a distillation and those who compute its images say to each other: plain data, so that it is the
 * same by a function call, through a pipe or through a server. The leader has the real features, the probe and the
 * objective. A shard, a fixed number of consecutive images, is rendered, encoded and updated by whoever holds it.
 */
export type ShardRequest =
  /** Holds these shards from now on. */
  | { readonly kind: "start"; readonly setup: ShardSetup; readonly shards: readonly SyntheticParameters[] }
  /**
   * Features of every view in step `step`, at `levels` levels: those that are missing are added first. Of several encoders,
   * an image's features are one row, those of the first encoder first; cotangents are laid out the same way.
   */
  | {
      readonly kind: "features";
      readonly step: number;
      readonly levels: number;
      readonly places?: Places;
    }
  /** One Adam step along the cotangents of the features that were asked for last. */
  | {
      readonly kind: "update";
      readonly learningRate: number;
      /** For each shard, views · n × d; d of all encoders together. */
      readonly cotangents: readonly Float32Array[];
      readonly places?: Places;
    }
  /** The state of the shards. */
  | { readonly kind: "parameters"; readonly places?: Places }
  /** Holds a shard at `place` from now on, instead of one that may have been there; null: none. */
  | { readonly kind: "hold"; readonly place: number; readonly shard: SyntheticParameters | null }
  /** The images of one shard as they are, [n, 3, size, size] in [0, 1]; `place` counts those of its holder. */
  | { readonly kind: "images"; readonly place: number }
  /** Features of the images as they are, n × d. */
  | { readonly kind: "plain" }
  /** Features, n × d, of what became of one shard's images elsewhere, [n, 3, size, size]. */
  | { readonly kind: "encode"; readonly place: number; readonly images: Float32Array }
  /** No more features: images and parameters alone are asked for from now on. */
  | { readonly kind: "finish" };

/** Which of its shards the holder is asked for, in this order; without it, all of them. */
type Places = readonly number[];

/** The replies to the requests; lists have one entry for each shard that was asked for. */
export interface ShardReplies {
  readonly start: null;
  readonly features: readonly Float32Array[];
  readonly update: null;
  readonly parameters: readonly SyntheticParameters[];
  readonly hold: null;
  readonly images: Float32Array;
  readonly plain: readonly Float32Array[];
  readonly encode: Float32Array;
  readonly finish: null;
}

/** What the holder of a shard must know beside its parameters. */
export interface ShardSetup {
  readonly config: DistillConfig;
  /** Side of the images. */
  readonly size: number;
  /** All of one batch. */
  readonly encoders: readonly {
    /** Where `storeDerivative` wrote its graphs, from images of `size` on. */
    readonly folder: string;
    readonly plan: ChunkPlan;
    /** What errors call it. */
    readonly id: string;
  }[];
}

/** A request of one kind. */
export type ShardRequestOf<Kind extends ShardRequest["kind"]> = Extract<
  ShardRequest,
  { readonly kind: Kind }
>;

/** Whoever holds shards. Requests are answered in the order in which they are made. */
export interface ShardHolder {
  request<Kind extends ShardRequest["kind"]>(request: ShardRequestOf<Kind>): Promise<ShardReplies[Kind]>;
  end(): Promise<void>;
}
