import { ModelError } from "../errors.ts";
import type { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { int } from "../onnx-vjp/graph/ir.ts";
import type { EncoderModel } from "./encoder-model.ts";

/** A feature tensor as one vector per image. */
export interface PooledFeature {
  readonly value: string;
  /** How it was pooled, for people. */
  readonly pool: string;
}

/** A feature tensor of a traced graph. */
export interface FeatureTensor {
  readonly name: string;
  readonly dims: readonly number[];
  /** The axis that holds channels; undefined where nothing says so. */
  readonly channelAxis: number | undefined;
}

/**
 * Pools a feature map [n, d, h, w] or [n, h, w, d], or tokens [n, t, d] or [n, d, t], to one vector per image.
 *
 * @param note records the shape of a value that is made, and returns its name
 * @throws ModelError for other shapes, and for a map whose channel axis cannot be determined
 */
export function poolFeature(
  b: GraphBuilder,
  { name, dims, channelAxis }: FeatureTensor,
  model: Pick<EncoderModel, "pool" | "pooled" | "featureLayout">,
  note: (name: string, shape: readonly number[]) => string,
): PooledFeature {
  const { pool = "auto", pooled: own = "none", featureLayout } = model;
  const n = dims[0];
  const mean = (axes: readonly number[]): string => {
    const kept = dims.filter((_, axis) => !axes.includes(axis));
    return note(b.op("ReduceMean", [name, b.ints(axes)], { keepdims: int(0) }), kept);
  };
  if (dims.length === 2) return { value: name, pool: own };
  if (dims.length === 4) {
    const axis = featureLayout === undefined ? channelAxis : featureLayout === "nchw" ? 1 : 3;
    const spatial = [1, 2, 3].filter((k) => k !== axis);
    if (dims.filter((d) => d !== 1).length <= 1 + (n === 1 ? 0 : 1)) return { value: name, pool: "none" };
    if (axis !== 1 && axis !== 3) {
      throw new ModelError(
        `The tensor "${name}" is a map of shape [${dims.join(", ")}], and the graph does not say which axis holds its ` +
          "channels. Say it with `featureLayout: 'nchw'` or `featureLayout: 'nhwc'`, or choose another tensor with `feature`.",
      );
    }
    return { value: mean(spatial), pool: axis === 1 ? "mean" : "mean (channels last)" };
  }
  if (dims.length === 3) {
    // Tokens are rows unless the graph says otherwise.
    const isFirst = featureLayout === undefined ? channelAxis === 1 : featureLayout === "nchw";
    const tokens = isFirst ? 2 : 1;
    if (pool === "mean" || (pool === "auto" && name !== "last_hidden_state")) {
      return { value: mean([tokens]), pool: isFirst ? "mean (channels first)" : "mean" };
    }
    const one = dims.map((d, axis) => (axis === tokens ? 1 : d));
    return {
      value: note(b.op("Slice", [name, b.ints([0]), b.ints([1]), b.ints([tokens])]), one),
      pool: `cls (of ${dims[tokens]} tokens)`,
    };
  }
  throw new ModelError(
    `The tensor "${name}" has shape [${dims.join(", ")}]. Expected a feature [batch, d], tokens [batch, t, d] ` +
      "or a map [batch, d, h, w]: choose another with `feature` (`clp-dd inspect` lists them).",
  );
}
