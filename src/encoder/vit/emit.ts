import type { GraphBuilder } from "../../onnx-vjp/graph/builder.ts";
import { float, int } from "../../onnx-vjp/graph/ir.ts";
import type { Activation, VisionTransformer } from "./description.ts";
import type { Linear } from "./layers.ts";
import type { Weights } from "./weights.ts";

/** Emits the layers that blocks and heads share. */
export class Layers {
  readonly b: GraphBuilder;
  readonly v: VisionTransformer;
  readonly weights: Weights;

  constructor(b: GraphBuilder, v: VisionTransformer, weights: Weights) {
    this.b = b;
    this.v = v;
    this.weights = weights;
  }

  /** x·Wᵀ + b of a matrix x. */
  linear(x: string, { weight, bias, to, from }: Linear): string {
    const inputs = [x, this.b.floats([to, from], weight)];
    if (bias) inputs.push(this.b.floats([to], bias));
    return this.b.op("Gemm", inputs, { transB: int(1) });
  }

  /** A layer normalization along the last axis. */
  async norm(x: string, part: string): Promise<string> {
    const scale = await this.weights.floats(`${part}.weight`);
    const shift = await this.weights.floats(`${part}.bias`);
    const inputs = [x, this.b.floats([scale.length], scale), this.b.floats([shift.length], shift)];
    return this.b.op("LayerNormalization", inputs, { axis: int(-1), epsilon: float(this.v.epsilon) });
  }

  activate(x: string, activation: Activation): string {
    const { b } = this;
    if (activation === "gelu") return b.op("Gelu", [x], {}, "com.microsoft");
    if (activation === "gelu-tanh") return b.op("FastGelu", [x], {}, "com.microsoft");
    if (activation === "quick-gelu") return b.op("QuickGelu", [x], { alpha: float(1.702) }, "com.microsoft");
    return b.op("Mul", [x, b.op("Sigmoid", [x])]);
  }

  /** Tokens [from, to) of [batch, tokens, d]. */
  tokens(x: string, from: number, to: number): string {
    return this.b.op("Slice", [x, this.b.ints([from]), this.b.ints([to]), this.b.ints([1])]);
  }

  /** Softmax(q·kᵀ)·v, each [batch, heads, tokens, head size], as a matrix [batch·queries, d]. */
  mix(q: string, k: string, value: string, queries: number): string {
    const { b } = this;
    const scores = b.op("Softmax", [b.op("MatMul", [q, b.exchange(k, 4)])], { axis: int(-1) });
    const mixed = b.op("MatMul", [scores, value]);
    return b.reshape(queries === 1 ? mixed : b.transpose(mixed, [0, 2, 1, 3]), [-1, this.v.width]);
  }

  /** Two equal parts of the last axis. */
  halves(x: string): [string, string] {
    return this.b.ops("Split", [x], 2, { axis: int(-1), num_outputs: int(2) }) as [string, string];
  }
}
