import { constantOf, float32Of } from "../../graph/constant.ts";
import { type Constant, type Node, sizeOf } from "../../graph/ir.ts";

/**
 * ONNX Runtime's blocked layout of images, NCHWc: channels in blocks of 8 or 16, the channels of a block next to
 * each other at each position, so that [n, C, h, w] is in memory as [n, ⌈C/c⌉, h, w, c]. The type of such a
 * value says [n, C rounded up to blocks, h, w]. Its operators are ONNX Runtime's own and run on the CPU only.
 */
export const blockedDomain = "com.microsoft.nchwc";

/** A convolution's sizes in the terms of the blocked layout. */
export interface BlockedConvolution {
  /** Input channels as the operator sees them: whole blocks, or as they are where the input is not blocked. */
  readonly inChannels: number;
  readonly outChannels: number;
  /** False for images of few channels, which are read as they are. */
  readonly inputBlocked: boolean;
  readonly group: number;
}

export const wholeBlocks = (channels: number, block: number): number => Math.ceil(channels / block) * block;

/**
 * How a convolution runs blocked, or undefined where it cannot, or would compute mostly padding.
 * @param dims of the weight, [M, C/group, kh, kw]
 */
export function blockedConvolution(
  dims: readonly number[],
  group: number,
  block: number,
): BlockedConvolution | undefined {
  if (dims.length !== 4) return undefined;
  const [M, perGroup] = dims as [number, number, number, number];
  const C = perGroup * group;
  if (M < block / 2) return undefined;
  const outChannels = wholeBlocks(M, block);
  if (group === 1) {
    const inputBlocked = C >= block;
    return { group, inputBlocked, outChannels, inChannels: inputBlocked ? wholeBlocks(C, block) : C };
  }
  if (perGroup === 1 && M === C) {
    return { group: outChannels, inputBlocked: true, outChannels, inChannels: outChannels };
  }
  if (perGroup % block !== 0 || (M / group) % block !== 0) return undefined;
  return { group, inputBlocked: true, outChannels: M, inChannels: C };
}

/**
 * The weight [M, C/group, kh, kw] as the blocked operators read it: blocks of output channels, within them input
 * channels (in blocks too where the input is blocked and there is more than one a group), taps, and innermost the
 * output channels of the block. Channels that fill up a block are zero.
 */
export function blockedWeight(weight: Constant, shape: BlockedConvolution, block: number): Constant {
  const [M, perGroup, kh, kw] = weight.dims as [number, number, number, number];
  const taps = kh * kw;
  const from = float32Of(weight);
  const inputs = shape.inChannels / shape.group;
  const dims = [shape.outChannels, inputs, kh, kw];
  const to = new Float32Array(sizeOf(dims));
  const inner = shape.inputBlocked && inputs > 1 ? block : 1;
  let at = 0;
  for (let o = 0; o < shape.outChannels; o += block) {
    const outs = Math.min(block, M - o);
    for (let i = 0; i < inputs; i += inner) {
      for (let t = 0; t < taps; t++) {
        for (let c = i; c < i + inner; c++, at += block) {
          if (c >= perGroup) continue;
          for (let k = 0; k < outs; k++) to[at + k] = from[((o + k) * perGroup + c) * taps + t];
        }
      }
    }
  }
  return constantOf("float32", dims, to);
}

/** A bias with zeros for the channels that fill up its last block. */
export function blockedBias(bias: Constant, channels: number): Constant {
  const values = new Float32Array(channels);
  values.set(float32Of(bias));
  return constantOf("float32", [channels], values);
}

/** Element-wise operators that leave zeros finite: what stands in the channels that fill up a block does no harm. */
const elementwise = new Set([
  ...["Add", "Sub", "Mul", "Neg", "Abs", "Sign", "Min", "Max", "Clip", "Relu", "LeakyRelu", "HardSigmoid"],
  ...["HardSwish", "Sigmoid", "Tanh", "Erf", "Softplus", "Elu", "Selu", "Greater", "Less", "Equal"],
  ...["GreaterOrEqual", "LessOrEqual", "And", "Or", "Not", "Where", "Cast", "Identity"],
]);

/** Whether the operator works on each element by itself, in whatever order they are. */
export function isElementwise(node: Node): boolean {
  if (node.domain === "com.microsoft") return ["Gelu", "FastGelu", "QuickGelu"].includes(node.op);
  return node.domain === "" && elementwise.has(node.op);
}
