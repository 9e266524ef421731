import type { EncoderModel } from "../../src/encoder/encoder-model.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { type DataType, type Graph, int, ints } from "../../src/onnx-vjp/graph/ir.ts";
import { randomArray, randomNumbers } from "./check-rule.ts";

export const smallSide = 8;
export const smallFeatures = 5;

export interface SmallOptions {
  readonly batch?: number | string;
  readonly dtype?: DataType;
  /** Put between the convolution's map [batch, 4, 8, 8] and the pooling. */
  readonly between?: (b: GraphBuilder, map: string) => string;
  readonly seed?: number;
  /** Side of the images that the graph declares, and length of its feature. */
  readonly side?: number;
  readonly features?: number;
}

/** A smooth network of one convolution and one linear layer: pixels [batch, 3, 8, 8] → features [batch, 5]. */
export function smallGraph({
  batch = "batch",
  dtype = "float32",
  between,
  seed = 3,
  side = smallSide,
  features = smallFeatures,
}: SmallOptions = {}): Graph {
  const random = randomNumbers(seed);
  const b = new GraphBuilder();
  const weights = (...dims: number[]) => b.floats(dims, randomArray(dims, random).data);
  const image = b.input("pixels", [batch, 3, side, side], dtype);
  const x = dtype === "float32" ? image : b.op("Cast", [image], { to: int(1) });
  const conv = b.op("Conv", [x, weights(4, 3, 3, 3)], { pads: ints([1, 1, 1, 1]) });
  const map = b.named("Tanh", [conv], "map");
  const pooled = b.op("GlobalAveragePool", [between?.(b, map) ?? map]);
  const flat = b.op("Flatten", [pooled]);
  b.named("Gemm", [flat, weights(4, features), weights(features)], "features");
  b.output("features", { dims: [batch, features] });
  return b.graph;
}

/** The graph as an encoder that takes 8 × 8 images, or those of another side, and normalizes them. */
export function smallEncoder(graph: Graph, feature?: string, side = smallSide): EncoderModel {
  return {
    provenance: { id: "small", sha256: "0".repeat(64) },
    graph,
    preprocessing: {
      resize: side,
      crop: [side, side],
      interpolation: "bicubic",
      cropOffset: "round",
      mean: [0.4, 0.5, 0.6],
      std: [0.2, 0.25, 0.3],
    },
    ...(feature === undefined ? {} : { feature }),
  };
}
