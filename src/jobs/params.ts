import type { SetEncoderOptions } from "../artifact/set-encoder-options.ts";
import type { DataParams } from "../data/data-params.ts";
import type { Pool } from "../encoder/encoder-model.ts";
import type { EncoderParams } from "../encoder/encoder-params.ts";
import type { Dtype } from "../encoder/load/choose-onnx.ts";
import type { ModelForm } from "../encoder/model-form.ts";
import type { ProbeName } from "../evaluate/protocol.ts";
import type { ExportDtype } from "../export/storage.ts";
import type { HubAccess } from "../files/hub/settings.ts";
import type { ImageLike } from "../images/input.ts";
import type { Device, Precision } from "../onnx-vjp/graph/device.ts";
import type { BaselineKind } from "../recipe/baseline-kinds.ts";
import type { DistillConfig } from "../recipe/config.ts";

export interface FeaturesParams extends EncoderParams, DataParams {
  /** Contiguous part of the images, counted from 0, for extraction on several machines. */
  readonly part?: { readonly index: number; readonly count: number } | undefined;
  /** Only merge this many parts that were extracted before. */
  readonly merge?: number | undefined;
  readonly storage?: "float32" | "float16" | undefined;
}

export interface EvaluateParams extends DataParams, ModelForm {
  /** Folders of artifacts. */
  readonly artifacts: readonly string[];
  /**
   * Encoders to evaluate on, as `NAME`, `NAME@SIZE` or `NAME@SIZE#TENSOR`; by default the one each artifact was
   * distilled with.
   */
  readonly encoders?: readonly string[] | undefined;
  /** Of the encoders that are asked for (default: what an artifact was distilled with, else main). */
  readonly revision?: string | undefined;
  readonly dtype?: Dtype | undefined;
  /** Of every encoder; default: as an artifact was distilled with it, else the encoder's own. */
  readonly feature?: string | undefined;
  readonly pool?: Pool | undefined;
  readonly size?: number | undefined;
  /** "own": as each encoder has it; default: as it was for the artifacts (src/jobs/evaluate-columns.ts). */
  readonly resize?: number | "own" | undefined;
  readonly device?: Device | undefined;
  /** What matrix products are computed in (default: float32); float16 on a GPU only. */
  readonly precision?: Precision | undefined;
  readonly threads?: number | undefined;
  /** Bytes for the values of all processes (default: a quarter of the machine's memory). */
  readonly memoryBytes?: number | undefined;
  /** Default: all three. */
  readonly probes?: readonly ProbeName[] | undefined;
  /** Default: 0 to 4. */
  readonly seeds?: readonly number[] | undefined;
  /** Epochs of a head. Default: 1,000. */
  readonly epochs?: number | undefined;
  /** Epochs and seeds of the heads on the full data; default: those of the others. */
  readonly fullEpochs?: number | undefined;
  readonly fullSeeds?: readonly number[] | undefined;
  /** Augmented draws of each image and seed. */
  readonly draws?: number | "each epoch" | undefined;
  /** Train probes on augmented images, on images as they are, or both ways. Default: both. */
  readonly augmentation?: "both" | "off" | undefined;
  /** Measure the full data and random images beside the sets. Default: true. */
  readonly references?: boolean | undefined;
  /** Measure the sets after edits too, by the closed form. Default: true. */
  readonly edits?: boolean | undefined;
}

export interface BaselineParams extends EncoderParams, DataParams {
  /** How real images are chosen. */
  readonly kind: BaselineKind;
  /** The distilled set whose neighbors are taken. */
  readonly of?: string | undefined;
  /** ipc, seed, and the closed-form probe's λ and feature map; the rest has no meaning here. */
  readonly config: Partial<DistillConfig>;
  readonly out: string;
  readonly overwrite?: boolean | undefined;
  /** Measure full data, centroid and random images beside the result. */
  readonly baselines?: boolean | undefined;
  /** Measure the images after edits too. Default: true. */
  readonly edits?: boolean | undefined;
  readonly command?: string | undefined;
}

export interface CompareParams extends Omit<DataParams, "data"> {
  /** A grid (src/jobs/compare-config.ts). */
  readonly config: unknown;
  /** Folder of the cells and of the table. */
  readonly out: string;
  readonly device?: Device | undefined;
  /** What matrix products are computed in (default: float32); float16 on a GPU only. */
  readonly precision?: Precision | undefined;
  readonly threads?: number | undefined;
  readonly memoryBytes?: number | undefined;
}

export interface InspectParams
  extends Pick<
    EncoderParams,
    "encoder" | "revision" | "dtype" | "hub" | "size" | "memoryBytes" | keyof ModelForm
  > {}

export interface CheckParams extends EncoderParams, DataParams {
  /**
   * Cosine of standardized features from which two images are nearly the same, whatever their pictures look like; below it pictures
   * decide. Default: 0.95.
   */
  readonly similarity?: number | undefined;
}

export interface ClassifyParams extends SetEncoderOptions {
  /** Folder of a set. */
  readonly set: string;
  readonly images: readonly ImageLike[];
  /** Classes named beside the best one of each image. Default: 2. */
  readonly runnersUp?: number | undefined;
}

/** Which encoders are compared, and on which images. */
export interface AlignParams
  extends DataParams,
    Omit<EncoderParams, "encoder" | "feature" | "revision" | "pool"> {
  /** Two or more, as `NAME`, `NAME@SIZE` or `NAME@SIZE#TENSOR`. */
  readonly encoders: readonly string[];
  /** Nearest neighbors of an image that are compared. Default: 10. */
  readonly neighbors?: number | undefined;
  /** Training images that take part, drawn at random; all where there are fewer. Default: 2,000. */
  readonly images?: number | undefined;
}

export interface ExplainParams extends SetEncoderOptions {
  /** Folder of a set. */
  readonly set: string;
  readonly images: readonly ImageLike[];
  /** The class to explain (default: the likeliest of each image). */
  readonly class?: string | undefined;
  /** The encoder's tensor that Grad-CAM looks at (default: its last map of the image). */
  readonly tensor?: string | undefined;
}

/** What pictures show: which places of the encoder's last map, or which pixels. */
export const explainMethods = ["grad-cam", "gradient"] as const;
export type ExplainMethod = (typeof explainMethods)[number];

export interface WriteExplanationsParams extends ExplainParams {
  /** Folder that is there, for the pictures. */
  readonly out: string;
  readonly methods: readonly ExplainMethod[];
}

export interface ExportParams extends SetEncoderOptions {
  /** Folder of a set. */
  readonly set: string;
  /** Folder of the export. */
  readonly out: string;
  /** How weights are stored, a file for each; transformers.js takes the first by default. Default: fp32. */
  readonly dtypes?: readonly ExportDtype[] | undefined;
  /** Data set on whose test images other types than fp32 are compared with it (default: none). */
  readonly data?: string | undefined;
  readonly overwrite?: boolean | undefined;
  /** Bytes of weights from which on they go into files beside the model (default: 1.9 GB, near what an ONNX file can hold). */
  readonly externalAbove?: number | undefined;
}

/** Which encoders to bring into the cache: known names or hub ids. */
export interface FetchParams extends Pick<EncoderParams, "revision" | "dtype" | "hub"> {
  readonly encoders: readonly string[];
}

/** A function of an ONNX model whose forward and pullback are written into the folder `out`. */
export interface VjpParams {
  /** Path of the .onnx file. */
  readonly model: string;
  readonly out: string;
  /** Names of the inputs to differentiate with respect to (default: all of floating-point numbers). */
  readonly wrt?: readonly string[] | undefined;
  /** Names of the outputs (default: all of floating-point numbers). */
  readonly of?: readonly string[] | undefined;
  /** Shapes of inputs that the model leaves open. */
  readonly shapes?: Readonly<Record<string, readonly number[]>> | undefined;
  /** Bytes for intermediate values (default: a quarter of the machine's memory). */
  readonly memoryBytes?: number | undefined;
  readonly overwrite?: boolean | undefined;
}

export interface ProfileParams extends EncoderParams {
  /** Synthetic images, m. */
  readonly images: number;
  /** Classes that they are of (default: one per image). */
  readonly classes?: number | undefined;
  /** Steps that are measured, after one that is not. */
  readonly steps: number;
  /** Bytes for intermediates. */
  readonly memoryBytes: number;
}

export interface DistillParams extends EncoderParams, DataParams {
  /**
   * Further encoders that the images are made for at the same time, as `NAME`, `NAME@SIZE` or `NAME@SIZE#TENSOR`
   * (default size: `size`, else the encoder's own). The images have the size of `encoder` and are resized for the others.
   */
  readonly others?: readonly string[] | undefined;
  readonly config: Partial<DistillConfig>;
  /** Name of a recipe whose settings hold where `config` says nothing (src/recipe/presets.ts). */
  readonly preset?: string | undefined;
  /**
   * Folder of an earlier set: classes of the same name start from its images, new ones from noise. Same encoder, size and
   * images per class.
   */
  readonly from?: string | undefined;
  /** Folder of the artifact. */
  readonly out: string;
  readonly overwrite?: boolean | undefined;
  /** Resume from the checkpoint that an interrupted run left. */
  readonly resume?: boolean | undefined;
  /** Measure the centroid and random baselines beside the result. */
  readonly baselines?: boolean | undefined;
  /** Measure the images after edits too. Default: true. */
  readonly edits?: boolean | undefined;
  /** The command that repeats the run; recorded. */
  readonly command?: string | undefined;
  /** Images in a shard, which is computed in one piece (default: as many as make the first step quickest here). */
  readonly shardImages?: number | undefined;
  /** Take part in a run of several workers (src/machines). */
  readonly join?: JoinParams | undefined;
}

/** How a worker takes part in a run. */
export interface JoinParams {
  /** redis://HOST:PORT/RUN or rediss://; user and password in it, or in the environment. */
  readonly address: string;
  /** Seconds after which the shards of a worker that is not heard of are others'. Default: 30. */
  readonly leaseSeconds?: number | undefined;
  /** Seconds without news of the others, or of the server, after which the worker gives up. Default: 600. */
  readonly patienceSeconds?: number | undefined;
}

export interface PushParams {
  /** Folder of a set, or of an exported classifier. */
  readonly folder: string;
  /** The repository, owner/name. */
  readonly repository: string;
  /** Whether the folder is an exported classifier, which becomes a model; default: a set, which becomes a data set. */
  readonly model?: boolean | undefined;
  /** Visible to everyone; default: to the owner alone. */
  readonly public?: boolean | undefined;
  /** Replace what a repository has already. */
  readonly overwrite?: boolean | undefined;
  readonly hub: HubAccess;
}
