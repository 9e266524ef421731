import { ModelError } from "../errors.ts";
import { type Kept, keepNothing } from "../files/kept.ts";
import type { Preprocessing } from "../images/preprocess.ts";
import { forwardGraph, forwardSession } from "../onnx-vjp/compile/forward-session.ts";
import { type DerivedPlan, planDerivative } from "../onnx-vjp/compile/plan.ts";
import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { type Graph, sizeOf, type TracedGraph } from "../onnx-vjp/graph/ir.ts";
import type { Precision, Runtime, Session } from "../onnx-vjp/graph/runtime.ts";
import { narrow } from "../onnx-vjp/prepare/narrow.ts";
import { prepareBatches } from "../onnx-vjp/prepare/prepare.ts";
import { simplify } from "../onnx-vjp/prepare/simplify.ts";
import { advised } from "./advice.ts";
import { batchedFeatures, featuresOutput, imagesInput } from "./batched-features.ts";
import { channelAxisOf } from "./channel-axis.ts";
import type { EncoderModel, Pool, Provenance } from "./encoder-model.ts";
import {
  type Cut,
  cutToFeature,
  type ImageInput,
  imageDims,
  writeInput,
  writeResize,
} from "./image-input.ts";
import { bytesPerImage, imagesACall } from "./images-per-call.ts";
import { givenForm, type ModelForm } from "./model-form.ts";
import { poolFeature } from "./pool-feature.ts";
import { pullbackRefusal } from "./pullback-refusal.ts";
import { selectFeature } from "./select-feature.ts";

/** A frozen encoder ready to run: images in [0, 1] to features, and the pullback of features to images. */
export interface Encoder {
  readonly provenance: Provenance;
  readonly preprocessing: Preprocessing;
  /** The feature tensor, how it was pooled, and how that was asked for. */
  readonly feature: {
    readonly tensor: string;
    readonly pool: string;
    readonly askedPool: Pool;
    readonly reason: string;
  };
  /** What was said of the model's form beside its file. */
  readonly form: ModelForm;
  /** d. */
  readonly featureSize: number;
  /** What its products are computed in. */
  readonly precision: Precision;
  /** The only batch the model runs at, where its file fixes one. */
  readonly fixedBatch: number | undefined;
  /** Images in one call: as many as the file fixes, else as are quickest here. */
  readonly imagesACall: number;
  /** Threads that it may use on the CPU; undefined on another device. */
  readonly threads: number | undefined;
  /** Bytes of all values that one image's way through the encoder makes. */
  readonly bytesPerImage: number;
  /**
   * Features of `count` images: n × d, row-major.
   * @param images planar RGB, n × 3 × H × W at the preprocessing's crop size; floats in [0, 1] or bytes in [0, 255]
   * @param nameOf what an error calls image i of these (default: by its number)
   * @throws NumericalError when a feature is not finite
   */
  features(
    images: Float32Array | Uint8Array,
    count: number,
    nameOf?: (i: number) => string,
  ): Promise<Float32Array>;
  /** @throws ModelError naming every node that has no pullback rule, and a feature tensor that would work */
  requirePullback(): void;
  /** The graph of features alone at a static batch, for other processes to run. */
  forwardGraph(batch: number): Promise<Graph>;
  /**
   * The pullback's plan at a static batch, for callers that drive memory themselves.
   * @param side of square images that are resized to the encoder's input first, as part of the plan (default: they have
   * that size)
   */
  plan(batch: number, side?: number): Promise<DerivedPlan>;
  /** What was computed from this encoder earlier. */
  readonly kept: Kept;
  /** Lets go of the session that computes features alone; asked for features again, the encoder makes another. */
  release(): Promise<void>;
}

/** What names an encoder's features: the tensor that they are of, how it is pooled, half precision, and what was said of its form. */
export const featureName = ({
  feature,
  form,
  precision,
}: Pick<Encoder, "feature" | "form" | "precision">): string =>
  [
    `${feature.tensor} (${feature.pool})`,
    ...(precision === "float16" ? ["float16"] : []),
    ...Object.entries(form).map(([key, value]) => `${key} ${value}`),
  ].join(", ");

/** Makes an encoder from a model that was read. Nothing runs until it is asked for. */
export async function createEncoder(
  runtime: Runtime,
  model: EncoderModel,
  {
    precision = "float32",
    kept = keepNothing,
    batch,
  }: {
    readonly precision?: Precision;
    /** What was computed from this encoder earlier (`encoderKey`). */
    readonly kept?: Kept;
    /** Images in one call, where the model's file does not fix them; by default as many as are quickest. */
    readonly batch?: number;
  } = {},
): Promise<Encoder> {
  const choice = selectFeature(model.graph, model.feature);
  const [height, width] = model.preprocessing.crop;
  const cut = cutToFeature(model, choice.value);
  const fixedBatch = cut.image.batch;
  const traceAt = tracer(runtime, model, cut, choice.value, fixedBatch ?? 1);
  // Of this first trace only what is known by it stays, not its weights.
  const { pool, featureSize, refused, bytes } = await kept.value({ what: "outline" }, () =>
    advised(traceAt()).then(({ traced, pool }) => ({
      pool,
      featureSize: traced.types.get(featuresOutput)!.dims[1]!,
      bytes: bytesPerImage(traced),
      refused: pullbackRefusal(traced, model.graph, imagesInput, featuresOutput, choice.value)?.message,
    })),
  );
  const sessionBatch = fixedBatch ?? batch ?? imagesACall(runtime, bytes);
  let session: Promise<Session> | undefined;
  const pixels = 3 * height * width;
  const requirePullback = () => {
    if (refused !== undefined) throw new ModelError(refused);
  };

  return {
    provenance: model.provenance,
    preprocessing: model.preprocessing,
    feature: {
      tensor: choice.value,
      pool,
      reason: choice.reason,
      askedPool: model.pool ?? "auto",
    },
    form: givenForm(model),
    featureSize,
    precision,
    fixedBatch,
    imagesACall: sessionBatch,
    bytesPerImage: bytes,
    threads: runtime.device === "cpu" ? runtime.threads : undefined,
    async features(images, count, nameOf) {
      if (images.length !== count * pixels) {
        throw new RangeError(
          `${count} images of 3 × ${height} × ${width} are ${count * pixels} numbers, got ${images.length}`,
        );
      }
      session ??= traceAt(sessionBatch).then(({ traced }) => forwardSession(runtime, traced, precision));
      const { id } = model.provenance;
      const shape = { batch: sessionBatch, crop: [height, width], featureSize, id } as const;
      return batchedFeatures(await session, shape, images, count, nameOf);
    },
    async forwardGraph(batch) {
      const { traced } = await traceAt(batch);
      return forwardGraph(runtime, traced, precision);
    },
    requirePullback,
    async plan(batch, side) {
      requirePullback();
      return advised(
        traceAt(batch, side).then(({ traced }) => planDerivative(traced, [imagesInput], featuresOutput)),
      );
    },
    kept,
    async release() {
      const made = session;
      session = undefined;
      if (made) await (await made).release();
    },
  };
}

/** What an encoder's forward is traced from. */
interface Traced {
  readonly traced: TracedGraph;
  readonly pool: string;
}

/**
 * Traces the graph from images in [0, 1] to features [batch, d] at any batch, by default at `ownBatch`; from images of
 * another size where `side` is given.
 */
function tracer(
  runtime: Runtime,
  model: EncoderModel,
  { graph, image }: Cut,
  feature: string,
  ownBatch: number,
): (batch?: number, side?: number) => Promise<Traced> {
  const dims = imageDims(image, ownBatch, model.preprocessing.crop);
  const prepared = prepareBatches(runtime, graph, { [image.name]: dims });
  return async (batch = ownBatch, side = undefined) => {
    const { traced, pool } = withEnds(await prepared(batch), model, image, feature, batch, side);
    // Images that are laid out anew are mostly laid out back in the next node.
    const simple = image.layout === "nhwc" ? simplify(traced) : traced;
    // The pooling may have left most tokens without use.
    return { traced: narrow(simple), pool };
  };
}

/** Resizing and normalization of images in [0, 1] before the traced model, and the pooling of its feature behind it. */
function withEnds(
  traced: TracedGraph,
  model: EncoderModel,
  image: ImageInput,
  feature: string,
  batch: number,
  side: number | undefined,
): Traced {
  const type = traced.types.get(feature)!;
  const types = new Map(traced.types);
  const b = new GraphBuilder(
    { ...traced, inputs: [], nodes: [], outputs: [], constants: new Map(traced.constants) },
    "clp-dd/",
  );
  const note = (name: string, shape: readonly number[]): string => {
    types.set(name, { dtype: "float32", dims: shape });
    return name;
  };
  const { crop } = model.preprocessing;
  const dims = [batch, 3, ...(side === undefined ? crop : [side, side])];
  b.input(note(imagesInput, dims), dims);
  const images = side === undefined ? imagesInput : writeResize(b, model.preprocessing, batch, side, note);
  writeInput(b, model, image, images, batch, note);
  b.graph.nodes.push(...traced.nodes);
  if (type.dims[0] !== batch) {
    throw new ModelError(
      `The tensor "${feature}" has shape [${type.dims.join(", ")}] for ${batch} images: its first dimension does not ` +
        "count them. Choose another with `feature` (`clp-dd inspect` lists them).",
    );
  }
  const channelAxis = channelAxisOf(traced, feature, {
    name: image.name,
    axis: image.layout === "nchw" ? 1 : 3,
  });
  const { value, pool } = poolFeature(b, { name: feature, dims: type.dims, channelAxis }, model, note);
  const d = sizeOf(types.get(value)!.dims.slice(1));
  note(b.named("Reshape", [value, b.ints([batch, d])], featuresOutput), [batch, d]);
  b.graph.outputs.push({ name: featuresOutput, dtype: "float32", dims: [batch, d] });
  for (const [name, constant] of b.graph.constants) types.set(name, constant);
  return { traced: { ...b.graph, types }, pool };
}
