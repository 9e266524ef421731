/**
 * An ONNX graph of fixed shapes as a function of TensorFlow.js' ops: those of a Vision Transformer and of a
 * MobileNet-like net. Without a gradient, a convolution, its bias and its ReLU6 are one fused op, as are a product and
 * its bias; with one they are not, since the gradient of a fused op computes that of its weights too.
 */

import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";

const FLOAT = 1;
const INT64 = 7;

/** A constant: its numbers, dims, and (made when first asked for) its tensor. */
function constantOf({ dims, dataType, rawData, name }, kept) {
  if (dataType !== FLOAT && dataType !== INT64) throw new Error(`${name}: data type ${dataType} is not read`);
  const shape = dims.map(Number);
  const buffer = rawData.slice().buffer;
  const values =
    dataType === FLOAT ? new Float32Array(buffer) : Array.from(new BigInt64Array(buffer), Number);
  let tensor;
  const get = () => {
    tensor ??= kept(tf.tensor(values, shape, dataType === FLOAT ? "float32" : "int32"));
    return tensor;
  };
  return { values, shape, get };
}

const attributesOf = (node) =>
  Object.fromEntries(
    node.attribute.map((a) => [a.name, a.ints.length > 0 ? a.ints.map(Number) : a.f !== 0 ? a.f : Number(a.i)]),
  );

/**
 * @param bytes an ONNX file
 * @returns `run`, images [n, 3, size, size] → features [n, d], in the form for taking a gradient or not; and `dispose`,
 *   which frees the weights
 */
export function modelOf(bytes, input, output) {
  const { graph } = fromBinary(ModelProtoSchema, bytes);
  const tensors = [];
  const kept = (tensor) => {
    tensors.push(tf.keep(tensor));
    return tensor;
  };
  const constants = new Map(graph.initializer.map((tensor) => [tensor.name, constantOf(tensor, kept)]));
  const uses = new Map();
  for (const node of graph.node) for (const name of node.input) uses.set(name, (uses.get(name) ?? 0) + 1);
  const reader = (name) => graph.node.find((node) => node.input.includes(name));

  /** The node that alone reads `name`, where it is an `op`. */
  const follower = (name, op) => {
    const node = uses.get(name) === 1 ? reader(name) : undefined;
    return node?.opType === op ? node : undefined;
  };

  const absorbed = new Set();
  const steps = [];
  for (const node of graph.node) {
    if (absorbed.has(node)) continue;
    const attributes = attributesOf(node);
    const constant = (i) => constants.get(node.input[i]);
    let outputs = node.output;
    let compute;
    if (node.opType === "Conv") {
      const clip = follower(node.output[0], "Clip");
      const limits = clip?.input.slice(1).map((name) => constants.get(name)?.values[0]);
      const relu6 = limits?.[0] === 0 && limits?.[1] === 6;
      if (relu6) {
        absorbed.add(clip);
        outputs = clip.output;
      }
      compute = convolution(constant(1), constant(2), attributes, relu6 ? "relu6" : "linear", kept);
    } else if (node.opType === "MatMul" && constant(1)?.shape.length === 2) {
      const add = follower(node.output[0], "Add");
      const bias = add && constants.get(add.input.find((name) => name !== node.output[0]));
      const joined = bias?.shape.length === 1;
      if (joined) {
        absorbed.add(add);
        outputs = add.output;
      }
      compute = linear(constant(1), joined ? bias : undefined, kept);
    } else {
      const make = ops[node.opType];
      if (make === undefined) throw new Error(`${node.opType} is not known to this walk`);
      compute = make(attributes, node.input.map((name) => constants.get(name)));
    }
    steps.push({ inputs: node.input, outputs, compute });
  }

  const run = (images, fused) => {
    const values = new Map([[input, images]]);
    const valueOf = (name) => values.get(name) ?? constants.get(name).get();
    for (const { inputs, outputs, compute } of steps) {
      const found = compute(inputs.map((name) => () => valueOf(name)), fused);
      [found].flat().forEach((value, i) => values.set(outputs[i], value));
    }
    return plain(values.get(output));
  };
  return { run, dispose: () => tf.dispose(tensors) };
}

/** Images that are held as [n, h, w, c]; tensors in ONNX's order are held bare. */
class Channels {
  constructor(last) {
    this.last = last;
  }
}
const plain = (value) => (value instanceof Channels ? tf.transpose(value.last, [0, 3, 1, 2]) : value);
const channelsLast = (value) => (value instanceof Channels ? value.last : tf.transpose(value, [0, 2, 3, 1]));

function convolution(weight, bias, attributes, activation, kept) {
  const { group = 1, pads, strides } = attributes;
  const [outputs, inputs] = weight.shape;
  const depthwise = group > 1;
  if (depthwise && (inputs !== 1 || outputs !== group)) throw new Error(`Conv: ${group} groups are not read`);
  const padded = pads.some((p) => p > 0);
  const filter = kept(tf.tidy(() => tf.transpose(weight.get(), depthwise ? [2, 3, 0, 1] : [2, 3, 1, 0])));
  const [top, left, bottom, right] = pads;
  const pad = padded ? [[0, 0], [top, bottom], [left, right], [0, 0]] : "valid";
  return ([x], fused) => {
    if (fused) {
      const conv = depthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d;
      const options = { filter, strides, pad, bias: bias.get(), activation };
      return new Channels(conv({ x: channelsLast(x()), ...options }));
    }
    const conv = depthwise ? tf.depthwiseConv2d : tf.conv2d;
    const sum = tf.add(conv(channelsLast(x()), filter, strides, pad), bias.get());
    return new Channels(activation === "relu6" ? tf.relu6(sum) : sum);
  };
}

/** Rows of tokens as one matrix: products of one matrix go to XNNPACK, batched ones do not. */
function linear(weight, bias, kept) {
  const [from, to] = weight.shape;
  const product = productWith(weight.get(), bias, kept);
  return ([x], fused) => {
    const value = plain(x());
    return tf.reshape(product(tf.reshape(value, [-1, from]), fused), [...value.shape.slice(0, -1), to]);
  };
}

/**
 * rows · matrix + bias. TensorFlow.js' own gradient multiplies by the matrix as transposed by a flag, which XNNPACK
 * does not take either: here it is transposed once.
 */
function productWith(matrix, bias, kept) {
  const transposed = kept(tf.tidy(() => tf.transpose(matrix)));
  const times = tf.customGrad((rows) => ({
    value: tf.matMul(rows, matrix),
    gradFunc: (cotangent) => tf.matMul(cotangent, transposed),
  }));
  return (rows, fused) => {
    if (fused) return tf.fused.matMul({ a: rows, b: matrix, bias: bias?.get() });
    return bias === undefined ? times(rows) : tf.add(times(rows), bias.get());
  };
}

/** Same layout on both sides, or ONNX's. */
const binary = (op) => () => ([a, b]) => {
  const [left, right] = [a(), b()];
  return left instanceof Channels && right instanceof Channels
    ? new Channels(op(left.last, right.last))
    : op(plain(left), plain(right));
};

/** By name of the ONNX op: attributes and constants (undefined where an input is none) → inputs → output(s). */
const ops = {
  Add: binary((a, b) => tf.add(a, b)),
  Mul: binary((a, b) => tf.mul(a, b)),
  MatMul: () => ([a, b]) => tf.matMul(plain(a()), plain(b())),
  Softmax: () => ([x]) => tf.softmax(plain(x())),
  Transpose: ({ perm }) => ([x]) => tf.transpose(plain(x()), perm),
  Reshape: (_, [, dims]) => ([x]) => tf.reshape(plain(x()), dims.values),
  Concat: ({ axis }) => (parts) => tf.concat(parts.map((part) => plain(part())), axis),
  Split: ({ axis }, [, sizes]) => ([x]) => tf.split(plain(x()), sizes.values, axis),
  Slice: (_, [, starts, ends, axes, steps]) => ([x]) => {
    if (steps !== undefined && steps.values.some((step) => step !== 1)) throw new Error("Slice: only steps of 1 are read");
    const value = plain(x());
    const begin = value.shape.map(() => 0);
    const end = [...value.shape];
    starts.values.forEach((start, i) => {
      const axis = axes === undefined ? i : (axes.values[i] + end.length) % end.length;
      const length = value.shape[axis];
      const at = (position) => Math.min(length, position < 0 ? position + length : position);
      begin[axis] = at(start);
      end[axis] = at(ends.values[i]);
    });
    return tf.slice(value, begin, end.map((stop, i) => stop - begin[i]));
  },
  // One row of an axis; `tf.gather` has no gradient on this backend.
  Gather: ({ axis }, [, index]) => ([x]) => {
    const value = plain(x());
    if (index.shape.length > 0) throw new Error("Gather: only one index is read");
    const begin = value.shape.map((_, i) => (i === axis ? index.values[0] : 0));
    const size = value.shape.map((length, i) => (i === axis ? 1 : length));
    return tf.squeeze(tf.slice(value, begin, size), [axis]);
  },
  Identity: () => ([x]) => x(),
  /** Over both axes of the image, which stay with length 1. */
  ReduceMean: ({ keepdims = 1 }, [, axes]) => ([x]) => {
    if (String(axes.values) !== "2,3" || keepdims !== 1) throw new Error("ReduceMean: only pooling is read");
    return new Channels(tf.mean(channelsLast(x()), [1, 2], true));
  },
  LayerNormalization: ({ epsilon }) => ([x, scale, shift]) => {
    const value = plain(x());
    const centred = tf.sub(value, tf.mean(value, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    const unit = tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon)));
    return tf.add(tf.mul(unit, scale()), shift());
  },
  Gelu: () => ([x]) => {
    const value = plain(x());
    return tf.mul(tf.mul(value, 0.5), tf.add(tf.erf(tf.mul(value, Math.SQRT1_2)), 1));
  },
};
