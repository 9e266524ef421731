import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { type Graph, ints } from "../../src/onnx-vjp/graph/ir.ts";
import { seededRandom } from "../../src/random.ts";

/** A network of one convolution and one linear layer: pixels [batch, 3, 16, 16] → features [batch, 8]. */
export function smallModel(): Graph {
  const random = seededRandom(3, "the weights of a small model");
  const b = new GraphBuilder();
  const weights = (...dims: number[]) =>
    b.floats(
      dims,
      Float32Array.from({ length: dims.reduce((a, d) => a * d, 1) }, () => random.normal()),
    );
  const image = b.input("pixels", ["batch", 3, 16, 16]);
  const map = b.op("Tanh", [b.op("Conv", [image, weights(8, 3, 3, 3)], { pads: ints([1, 1, 1, 1]) })]);
  const flat = b.op("Flatten", [b.op("GlobalAveragePool", [map])]);
  b.named("Gemm", [flat, weights(8, 8), weights(8)], "features");
  b.output("features", { dims: ["batch", 8] });
  return b.graph;
}
