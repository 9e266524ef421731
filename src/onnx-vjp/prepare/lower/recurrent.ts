import type { GraphBuilder } from "../../graph/builder.ts";
import { constantOf, numbersOf } from "../../graph/constant.ts";
import {
  type Attributes,
  type DataType,
  float,
  floatAttribute,
  int,
  intAttribute,
  type Node,
  stringAttribute,
} from "../../graph/ir.ts";
import type { Lowering, LoweringContext, LoweringTable } from "./lowering.ts";

/** One step of one direction: the gates' input and the states before to the states after, hidden first. */
type Step = (gates: string, states: readonly string[]) => string[];

/** What the gates of one direction are computed with. */
interface Direction {
  /** A part of the input that holds one row (or number) per direction, without that axis. */
  part(input: number): string;
  readonly activations: readonly ((x: string) => string)[];
}

/** Nodes of one recurrent layer that are written out, about. */
const mostSteps = 2048;

/** The attributes of an activation from the two numbers that a recurrent operator gives it. */
const parameters: Readonly<Record<string, readonly [string, number][]>> = {
  LeakyRelu: [["alpha", 0.01]],
  ThresholdedRelu: [["alpha", 1]],
  Elu: [["alpha", 1]],
  HardSigmoid: [
    ["alpha", 0.2],
    ["beta", 0.5],
  ],
};

/** The activations of a layer, in order: each direction's one after another. */
function activationsOf(
  { b, type, node }: LoweringContext,
  usual: readonly string[],
  directions: number,
): ((x: string) => string)[] | undefined {
  const given = node.attributes.activations;
  const names =
    given?.kind === "strings" && given.value.length > 0
      ? given.value
      : Array.from({ length: directions }, () => usual).flat();
  const numbers = (key: string): number[] => {
    const attribute = node.attributes[key];
    return attribute?.kind === "floats" ? [...attribute.value] : [];
  };
  const [alphas, betas] = [numbers("activation_alpha"), numbers("activation_beta")];
  const { dtype } = type(node.inputs[0]);
  const made = names.map((name) => {
    const op = name.toLowerCase();
    if (op === "affine" || op === "scaledtanh") {
      const [alpha, beta] = [
        b.scalar(alphas.shift() ?? 1, dtype),
        b.scalar(betas.shift() ?? (op === "affine" ? 0 : 1), dtype),
      ];
      return op === "affine"
        ? (x: string) => b.op("Add", [b.op("Mul", [x, alpha]), beta])
        : (x: string) => b.op("Mul", [b.op("Tanh", [b.op("Mul", [x, beta])]), alpha]);
    }
    const known = [
      ...[
        "Relu",
        "Tanh",
        "Sigmoid",
        "LeakyRelu",
        "ThresholdedRelu",
        "HardSigmoid",
        "Elu",
        "Softsign",
        "Softplus",
      ],
    ].find((candidate) => candidate.toLowerCase() === op);
    if (known === undefined) return undefined;
    const attributes: Attributes = Object.fromEntries(
      (parameters[known] ?? []).map(([key, usually]) => [
        key,
        float((key === "alpha" ? alphas : betas).shift() ?? usually),
      ]),
    );
    return (x: string) => b.op(known, [x], attributes);
  });
  return made.every((activation) => activation !== undefined)
    ? (made as ((x: string) => string)[])
    : undefined;
}

/** What differs between the recurrent operators. */
interface Cell {
  readonly gates: number;
  /** States: the hidden one, and an LSTM's cell. Their initial values are inputs from 5 on. */
  readonly states: number;
  readonly activations: readonly string[];
  step(context: LoweringContext, direction: Direction, clipped: (x: string) => string): Step | undefined;
}

/**
 * A recurrent layer, step after step: X·Wᵀ of all steps is one product, R·h one per step. The outputs are all hidden
 * states, [steps, directions, batch, hidden], and the last states.
 */
function unrolled(cell: Cell): Lowering {
  return (context) => {
    const { node, b, type, constant } = context;
    const [xInput, w, , bias = "", lengths = ""] = node.inputs as readonly [
      string,
      string,
      string,
      string?,
      string?,
    ];
    const batchFirst = intAttribute(node, "layout", 0) === 1;
    const given = type(xInput);
    const { dtype } = given;
    const [steps, batch, width] = batchFirst
      ? [given.dims[1], given.dims[0], given.dims[2]]
      : (given.dims as [number, number, number]);
    const hidden = intAttribute(node, "hidden_size", type(w).dims[1] / cell.gates);
    const way = stringAttribute(node, "direction", "forward");
    const directions = way === "bidirectional" ? 2 : 1;
    if (lengths !== "") {
      const known = constant(lengths);
      if (known === undefined || numbersOf(known).some((length) => length !== steps)) return undefined;
    }
    const activations = activationsOf(context, cell.activations, directions);
    if (activations === undefined || steps * directions > mostSteps || steps === 0) return undefined;
    const x = batchFirst ? b.transpose(xInput, [1, 0, 2]) : xInput;
    const rows = b.reshape(x, [steps * batch, width]);
    const limit = node.attributes.clip === undefined ? undefined : floatAttribute(node, "clip", 0);
    const clipped = (value: string) =>
      limit === undefined ? value : b.op("Clip", [value, b.scalar(-limit, dtype), b.scalar(limit, dtype)]);

    const hiddens: string[][] = [];
    const finals: string[][] = [];
    for (let d = 0; d < directions; d++) {
      const part = (input: number): string => partOf(b, node, input, d, type(node.inputs[input]).dims);
      const own = activations.slice(d * cell.activations.length, (d + 1) * cell.activations.length);
      const step = cell.step(context, { part, activations: own }, clipped);
      if (step === undefined) return undefined;
      const inputs = b.op(
        "Gemm",
        [rows, part(1), ...(bias === "" ? [] : [inputBias(context, cell, part(3), hidden)])],
        {
          transB: int(1),
        },
      );
      const gates = b.reshape(inputs, [steps, batch, cell.gates * hidden]);
      const sliced =
        steps === 1
          ? [gates]
          : b.ops("Split", [gates, b.ints(new Array<number>(steps).fill(1))], steps, { axis: int(0) });
      const perStep = sliced.map((value) => b.reshape(value, [batch, cell.gates * hidden]));
      const order = way === "reverse" || d === 1 ? perStep.reverse() : perStep;
      let states = Array.from({ length: cell.states }, (_, s) =>
        initialState(context, 5 + s, d, batchFirst, [batch, hidden], dtype),
      );
      const passed: string[] = [];
      for (const gate of order) {
        states = step(gate, states);
        passed.push(states[0]);
      }
      hiddens.push(way === "reverse" || d === 1 ? passed.reverse() : passed);
      finals.push(states);
    }
    const stacked = (values: readonly string[], axis: number): string => {
      const shape = axis === 0 ? [1, batch, hidden] : [batch, 1, hidden];
      const apart = values.map((value) => b.reshape(value, shape));
      return apart.length === 1 ? apart[0] : b.op("Concat", apart, { axis: int(axis) });
    };
    const all = hiddens.map((values) => b.reshape(stacked(values, 0), [steps, 1, batch, hidden]));
    const y = directions === 1 ? all[0] : b.op("Concat", all, { axis: int(1) });
    const last = Array.from({ length: cell.states }, (_, s) =>
      stacked(
        finals.map((states) => states[s]),
        batchFirst ? 1 : 0,
      ),
    );
    return [batchFirst ? b.transpose(y, [2, 0, 1, 3]) : y, ...last];
  };
}

/** One direction's part of an input [directions, …]. */
function partOf(b: GraphBuilder, node: Node, input: number, d: number, dims: readonly number[]): string {
  const whole = node.inputs[input];
  const part = dims[0] === 1 ? whole : b.op("Slice", [whole, b.ints([d]), b.ints([d + 1]), b.ints([0])]);
  return b.reshape(part, dims.slice(1));
}

/** Parts of equal size of a value along an axis. */
function parts(b: GraphBuilder, value: string, count: number, size: number, axis: number): string[] {
  if (count === 1) return [value];
  return b.ops("Split", [value, b.ints(new Array<number>(count).fill(size))], count, { axis: int(axis) });
}

/**
 * The bias of the gates' inputs: Wb + Rb, but for the last gate of a GRU with linear_before_reset, whose Rb is reset
 * with the rest.
 */
function inputBias({ b, node, type }: LoweringContext, cell: Cell, bias: string, hidden: number): string {
  const [own, recurrent] = parts(b, bias, 2, cell.gates * hidden, 0) as [string, string];
  if (node.op !== "GRU" || intAttribute(node, "linear_before_reset", 0) === 0)
    return b.op("Add", [own, recurrent]);
  const added = Array.from({ length: 3 * hidden }, (_, i) => (i < 2 * hidden ? 1 : 0));
  const mask = b.constant(constantOf(type(node.inputs[3]).dtype, [3 * hidden], added));
  return b.op("Add", [own, b.op("Mul", [recurrent, mask])]);
}

/** The state before the first step: an input's, or zeros. */
function initialState(
  { b, node, type }: LoweringContext,
  input: number,
  d: number,
  batchFirst: boolean,
  dims: readonly [number, number],
  dtype: DataType,
): string {
  const given = node.inputs[input] ?? "";
  if (given === "") return b.op("Expand", [b.scalar(0, dtype), b.ints(dims)]);
  const own = type(given).dims;
  if (!batchFirst) return partOf(b, node, input, d, own);
  const part = own[1] === 1 ? given : b.op("Slice", [given, b.ints([d]), b.ints([d + 1]), b.ints([1])]);
  return b.reshape(part, dims);
}

/** h = f(gates + h·Rᵀ) */
const rnn: Cell = {
  gates: 1,
  states: 1,
  activations: ["Tanh"],
  step({ b }, { part, activations: [f] }, clipped) {
    const recurrent = part(2);
    return (gates, [h]) => [
      f!(clipped(b.op("Add", [gates, b.op("Gemm", [h!, recurrent], { transB: int(1) })]))),
    ];
  },
};

/** Gates in the order update, reset, new: h = (1 − z)·n + z·h */
const gru: Cell = {
  gates: 3,
  states: 1,
  activations: ["Sigmoid", "Tanh"],
  step(context, { part, activations: [f, g] }, clipped) {
    const { b, node, type } = context;
    const hidden = type(node.inputs[2]).dims[2];
    const resetsProduct = intAttribute(node, "linear_before_reset", 0) !== 0;
    const rows = parts(b, part(2), 3, hidden, 0);
    const [both, last] = [b.op("Concat", rows.slice(0, 2), { axis: int(0) }), rows[2]];
    const biases = (node.inputs[3] ?? "") === "" ? undefined : parts(b, part(3), 6, hidden, 0);
    const one = b.scalar(1, type(node.inputs[0]).dtype);
    return (gates, [h]) => {
      const [update, reset, candidate] = parts(b, gates, 3, hidden, 1) as [string, string, string];
      const [hu, hr] = parts(b, b.op("Gemm", [h!, both], { transB: int(1) }), 2, hidden, 1) as [
        string,
        string,
      ];
      const z = f!(clipped(b.op("Add", [update, hu])));
      const r = f!(clipped(b.op("Add", [reset, hr])));
      const bias = resetsProduct && biases !== undefined ? [biases[5]] : [];
      const rest = resetsProduct
        ? b.op("Mul", [r, b.op("Gemm", [h!, last, ...bias], { transB: int(1) })])
        : b.op("Gemm", [b.op("Mul", [r, h!]), last], { transB: int(1) });
      const n = g!(clipped(b.op("Add", [candidate, rest])));
      const kept = b.op("Mul", [z, h!]);
      return [b.op("Add", [b.op("Mul", [b.op("Sub", [one, z]), n]), kept])];
    };
  },
};

/** Gates in the order input, output, forget, cell: c = f·c + i·g(cell), h = o·h(c); peepholes add p∘c to the gates. */
const lstm: Cell = {
  gates: 4,
  states: 2,
  activations: ["Sigmoid", "Tanh", "Tanh"],
  step(context, { part, activations: [f, g, out] }, clipped) {
    const { b, node, type } = context;
    const hidden = type(node.inputs[2]).dims[2];
    const recurrent = part(2);
    const peepholes = (node.inputs[7] ?? "") === "" ? undefined : parts(b, part(7), 3, hidden, 0);
    const couples = intAttribute(node, "input_forget", 0) !== 0;
    const one = b.scalar(1, type(node.inputs[0]).dtype);
    const seen = (gate: string, k: number, c: string) =>
      peepholes === undefined ? gate : b.op("Add", [gate, b.op("Mul", [peepholes[k], c])]);
    return (gates, [h, c]) => {
      const sum = b.op("Add", [gates, b.op("Gemm", [h!, recurrent], { transB: int(1) })]);
      const [input, output, forget, cell] = parts(b, sum, 4, hidden, 1) as [string, string, string, string];
      const i = f!(clipped(seen(input, 0, c!)));
      const kept = couples ? b.op("Sub", [one, i]) : f!(clipped(seen(forget, 2, c!)));
      const next = b.op("Add", [b.op("Mul", [kept, c!]), b.op("Mul", [i, g!(clipped(cell))])]);
      const o = f!(clipped(seen(output, 1, next)));
      return [b.op("Mul", [o, out!(next)]), next];
    };
  },
};

/** Recurrent layers, written out. */
export const recurrentLowerings: LoweringTable = {
  RNN: unrolled(rnn),
  GRU: unrolled(gru),
  LSTM: unrolled(lstm),
};
