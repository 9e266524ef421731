import { Tensor } from "onnxruntime-common";
import { ModelError, NumericalError } from "../errors.ts";
import type { Preprocessing } from "../images/preprocess.ts";
import { forwardSession } from "../onnx-vjp/compile/forward-session.ts";
import { type DerivedPlan, planDerivative } from "../onnx-vjp/compile/plan.ts";
import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { type Graph, int, type TracedGraph } from "../onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../onnx-vjp/graph/live.ts";
import type { Precision, Runtime, Session } from "../onnx-vjp/graph/runtime.ts";
import { narrow } from "../onnx-vjp/prepare/narrow.ts";
import { prepareBatches } from "../onnx-vjp/prepare/prepare.ts";
import { advised } from "./advice.ts";
import { bytesPerImage, imagesACall } from "./images-per-call.ts";
import type { EncoderModel, Pool, Provenance } from "./model.ts";
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
  /** d. */
  readonly featureSize: number;
  /** What its products are computed in. */
  readonly precision: Precision;
  /** The only batch the model runs at, where its file fixes one. */
  readonly fixedBatch: number | undefined;
  /** Images in one call: as many as the file fixes, else as are quickest here. */
  readonly imagesACall: number;
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
  /** The pullback's plan at a static batch, for callers that drive memory themselves. */
  plan(batch: number): Promise<DerivedPlan>;
  /** Lets go of the session that computes features alone; asked for features again, the encoder makes another. */
  release(): Promise<void>;
}

/** What names an encoder's features: the tensor that they are of, how it is pooled, and half precision. */
export const featureName = ({ feature, precision }: Pick<Encoder, "feature" | "precision">): string =>
  `${feature.tensor} (${feature.pool})${precision === "float16" ? ", float16" : ""}`;

/** A byte in [0, 1]: looking it up takes half the time of dividing, on the thread that all others wait for. */
const unit = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** Name of the graph input that takes images in [0, 1], and of the output [batch, d]. */
export const imagesInput = "images";
export const featuresOutput = "clp-dd/features";

/** Makes an encoder from a model that was read. Nothing runs until it is asked for. */
export async function createEncoder(
  runtime: Runtime,
  model: EncoderModel,
  { precision = "float32" }: { readonly precision?: Precision } = {},
): Promise<Encoder> {
  const choice = selectFeature(model.graph, model.feature);
  const [height, width] = model.preprocessing.crop;
  const declared = imageInputOf(model.graph).dims[0];
  const fixedBatch = typeof declared === "number" ? declared : undefined;
  const traceAt = tracer(runtime, model, choice.value, fixedBatch ?? 1);
  // Of this first trace only what is known by it stays, not its weights.
  const { pool, featureSize, refusal, bytes } = await advised(traceAt()).then(({ traced, pool }) => ({
    pool,
    featureSize: traced.types.get(featuresOutput)!.dims[1]!,
    bytes: bytesPerImage(traced),
    refusal: pullbackRefusal(traced, model.graph, imagesInput, featuresOutput, choice.value),
  }));
  const sessionBatch = fixedBatch ?? imagesACall(runtime, bytes);
  let session: Promise<Session> | undefined;
  const pixels = 3 * height * width;
  const requirePullback = () => {
    if (refusal) throw refusal;
  };

  return {
    provenance: model.provenance,
    preprocessing: model.preprocessing,
    feature: {
      ...{ tensor: choice.value, pool, reason: choice.reason },
      askedPool: model.pool ?? "auto",
    },
    featureSize,
    precision,
    fixedBatch,
    imagesACall: sessionBatch,
    bytesPerImage: bytes,
    async features(images, count, nameOf) {
      if (images.length !== count * pixels) {
        throw new RangeError(
          `${count} images of 3 × ${height} × ${width} are ${count * pixels} numbers, got ${images.length}`,
        );
      }
      session ??= traceAt(sessionBatch).then(({ traced }) => forwardSession(runtime, traced, precision));
      const ready = await session;
      const out = new Float32Array(count * featureSize);
      const chunk = new Float32Array(sessionBatch * pixels);
      for (let start = 0; start < count; start += sessionBatch) {
        const n = Math.min(sessionBatch, count - start);
        const part = images.subarray(start * pixels, (start + n) * pixels);
        if (part instanceof Float32Array) chunk.set(part);
        else for (let i = 0; i < part.length; i++) chunk[i] = unit[part[i]!]!;
        const feeds = { [imagesInput]: new Tensor("float32", chunk, [sessionBatch, 3, height, width]) };
        const results = await ready.run(feeds, { only: [featuresOutput] });
        const rows = results[featuresOutput]!.data as Float32Array;
        out.set(rows.subarray(0, n * featureSize), start * featureSize);
      }
      requireFinite(out, featureSize, model.provenance.id, nameOf);
      return out;
    },
    requirePullback,
    async plan(batch) {
      requirePullback();
      return advised(
        traceAt(batch).then(({ traced }) => planDerivative(traced, [imagesInput], featuresOutput)),
      );
    },
    async release() {
      const made = session;
      session = undefined;
      if (made) await (await made).release();
    },
  };
}

/** Throws a NumericalError naming the first image whose feature is not finite. */
export function requireFinite(
  features: Float32Array,
  featureSize: number,
  encoder: string,
  nameOf = (i: number) => `image ${i} of the batch`,
): void {
  for (let i = 0; i < features.length; i++) {
    if (Number.isFinite(features[i])) continue;
    throw new NumericalError(
      `The encoder ${encoder} gave a feature that is not finite (${features[i]}) for ` +
        `${nameOf(Math.floor(i / featureSize))}. Check the model's preprocessing (mean, std) and that its weights ` +
        "are whole.",
    );
  }
}

/** Element types that pixels may have. */
const floats: ReadonlySet<string> = new Set(["float32", "float64", "float16", "bfloat16"]);

/** The one image input: [batch, 3, H, W]. */
function imageInputOf(graph: Graph): Graph["inputs"][number] {
  const [input, ...others] = graph.inputs;
  if (input === undefined)
    throw new ModelError("The model has no input. Expected one image tensor [batch, 3, H, W].");
  if (
    others.length > 0 ||
    input.dims.length !== 4 ||
    (typeof input.dims[1] === "number" && input.dims[1] !== 3)
  ) {
    const shown = graph.inputs.map((i) => `"${i.name}" ${i.dtype} [${i.dims.join(", ")}]`).join(", ");
    throw new ModelError(
      `The model takes ${shown}. Expected one image input [batch, 3, height, width]: ` +
        "choose the vision encoder of the model (for CLIP exports, vision_model.onnx).",
    );
  }
  if (!floats.has(input.dtype)) {
    throw new ModelError(
      `The model's image input is "${input.name}" ${input.dtype} [${input.dims.join(", ")}]: whole numbers have no ` +
        "gradient. Expected normalised pixels as float32 (or float16): export the model without the conversion.",
    );
  }
  return input;
}

/** Traces the graph from images in [0, 1] to features [batch, d] at any batch; by default at `ownBatch`. */
function tracer(
  runtime: Runtime,
  model: EncoderModel,
  feature: string,
  ownBatch: number,
): (batch?: number) => Promise<{ traced: TracedGraph; pool: string }> {
  const [height, width] = model.preprocessing.crop;
  const image = imageInputOf(model.graph);
  const cut = withoutDeadNodes({ ...model.graph, outputs: [{ name: feature, dtype: "float32", dims: [] }] });
  const prepared = prepareBatches(runtime, cut, { [image.name]: [ownBatch, 3, height, width] });
  return async (batch = ownBatch) => {
    const { traced, pool } = withEnds(await prepared(batch), model, image.name, feature, batch);
    // The pooling may have left most tokens without use.
    return { traced: narrow(traced), pool };
  };
}

/** The normalisation of images in [0, 1] before the traced model, and the pooling of its feature behind it. */
function withEnds(
  traced: TracedGraph,
  model: EncoderModel,
  image: string,
  feature: string,
  batch: number,
): { traced: TracedGraph; pool: string } {
  const [height, width] = model.preprocessing.crop;
  const dims = [batch, 3, height, width];
  const type = traced.types.get(feature)!;
  const types = new Map(traced.types);

  const b = new GraphBuilder(
    { ...traced, inputs: [], nodes: [], outputs: [], constants: new Map(traced.constants) },
    "clp-dd/",
  );
  b.input(imagesInput, dims);
  types.set(imagesInput, { dtype: "float32", dims });
  const { mean, std, channels } = model.preprocessing;
  const note = (name: string, shape: readonly number[]): string => {
    types.set(name, { dtype: "float32", dims: shape });
    return name;
  };
  // (x − μ)/σ as x·(1/σ) − μ/σ.
  const scaled = note(
    b.op("Mul", [
      imagesInput,
      b.floats(
        [1, 3, 1, 1],
        std.map((s) => 1 / s),
      ),
    ]),
    dims,
  );
  const shift = b.floats(
    [1, 3, 1, 1],
    std.map((s, i) => -mean[i]! / s),
  );
  if (channels === "bgr") {
    const normalized = note(b.op("Add", [scaled, shift]), dims);
    note(b.named("Gather", [normalized, b.ints([2, 1, 0])], image, { axis: int(1) }), dims);
  } else note(b.named("Add", [scaled, shift], image), dims);
  b.graph.nodes.push(...traced.nodes);
  if (type.dims[0] !== batch) {
    throw new ModelError(
      `The tensor "${feature}" has shape [${type.dims.join(", ")}] for ${batch} images: its first dimension does not ` +
        "count them. Choose another with --feature (`clp-dd inspect` lists them).",
    );
  }
  const { value, pool } = pooled(b, feature, type.dims, model, note);
  const d = types
    .get(value)!
    .dims.slice(1)
    .reduce((p, n) => p * n, 1);
  note(b.named("Reshape", [value, b.ints([batch, d])], featuresOutput), [batch, d]);
  b.graph.outputs.push({ name: featuresOutput, dtype: "float32", dims: [batch, d] });
  for (const [name, constant] of b.graph.constants) types.set(name, constant);
  return { traced: { ...b.graph, types }, pool };
}

/** Pools a feature map [n, d, h, w] or a token sequence [n, t, d] to one vector an image. */
function pooled(
  b: GraphBuilder,
  feature: string,
  dims: readonly number[],
  { pool = "auto", pooled: own = "none" }: EncoderModel,
  note: (name: string, shape: readonly number[]) => string,
): { value: string; pool: string } {
  const [n, t, d] = dims as [number, number, number];
  if (dims.length === 4) {
    if (dims[2] === 1 && dims[3] === 1) return { value: feature, pool: "none" };
    return {
      value: note(b.op("ReduceMean", [feature, b.ints([2, 3])], { keepdims: { kind: "int", value: 0 } }), [
        n,
        t,
      ]),
      pool: "mean",
    };
  }
  if (dims.length === 3) {
    if (pool === "mean" || (pool === "auto" && feature !== "last_hidden_state")) {
      return {
        value: note(b.op("ReduceMean", [feature, b.ints([1])], { keepdims: { kind: "int", value: 0 } }), [
          n,
          d,
        ]),
        pool: "mean",
      };
    }
    return {
      value: note(b.op("Slice", [feature, b.ints([0]), b.ints([1]), b.ints([1])]), [n, 1, d]),
      pool: `cls (of ${t} tokens)`,
    };
  }
  if (dims.length === 2) return { value: feature, pool: own };
  throw new ModelError(
    `The tensor "${feature}" has shape [${dims.join(", ")}]. Expected a feature [batch, d], tokens [batch, t, d] ` +
      "or a map [batch, d, h, w]: choose another with --feature (`clp-dd inspect` lists them).",
  );
}
