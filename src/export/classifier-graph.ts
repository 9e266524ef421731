import { featuresOutput, imagesInput } from "../encoder/batched-features.ts";
import type { Preprocessing } from "../images/preprocess.ts";
import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import type { Attribute, Attributes, Graph, Node } from "../onnx-vjp/graph/ir.ts";
import type { Calibration } from "../probe/calibration.ts";
import type { FeatureMapState } from "../probe/feature-map.ts";
import type { Matrix } from "../probe/matrix.ts";
import { writeResample } from "./resample-graph.ts";

/** Names of the classifier's input and output, as transformers and transformers.js have them. */
export const classifierInput = "pixel_values";
export const classifierOutput = "logits";

/** An encoder's graph, from images in [0, 1] to features. */
export interface EncoderGraph {
  readonly graph: Graph;
  /** The only number of images that it takes at once; undefined where it takes any (`withOpenBatch`). */
  readonly batch: number | undefined;
}

/** What a classifier is made of. */
export interface ClassifierParts {
  readonly encoder: EncoderGraph;
  readonly preprocessing: Preprocessing;
  readonly probe: {
    /** d × C. */
    readonly weight: Matrix;
    readonly map: FeatureMapState;
    readonly calibration?: Calibration;
  };
}

/**
 * One graph from pictures of any size to class scores: transparency laid on white, resize, crop and normalization, the
 * encoder, and the probe.
 *
 * Input `pixel_values` [batch, channels, height, width] in [0, 1]: red, green, blue; with opacity as a fourth channel; or
 * gray, alone or with opacity. Output `logits` [batch, classes]: scores over the temperature, whose softmax are the
 * probabilities that `clp-dd classify` prints (scores alone in sets without a recorded temperature).
 */
export function classifierGraph({ encoder: traced, preprocessing, probe }: ClassifierParts): Graph {
  const batch = traced.batch ?? "batch";
  const encoder = withoutNames(traced.graph, [classifierInput, classifierOutput]);
  const b = new GraphBuilder(
    {
      ...encoder,
      name: "classifier",
      inputs: [],
      outputs: [],
      nodes: [],
      constants: new Map(encoder.constants),
    },
    "clp-dd/export/",
  );
  b.input(classifierInput, [batch, "channels", "height", "width"]);
  const resized = writeResample(b, onWhite(b, classifierInput), preprocessing);
  // Gray pictures have one channel up to here.
  b.named("Expand", [resized, b.ints([1, 3, 1, 1])], imagesInput);
  b.graph.nodes.push(...encoder.nodes);
  writeProbe(b, probe);
  b.graph.outputs.push({ name: classifierOutput, dtype: "float32", dims: [batch, probe.weight.cols] });
  return b.graph;
}

/** Pictures without opacity: laid on white where their channels are even in number, and the last of them is opacity. */
function onWhite(b: GraphBuilder, pixels: string): string {
  const channels = b.op("Slice", [b.op("Shape", [pixels]), b.ints([1]), b.ints([2])]);
  const half = b.op("Div", [channels, b.ints([2])]);
  const isEven = b.op("Squeeze", [b.op("Equal", [b.op("Add", [half, half]), channels]), b.ints([0])]);
  // A branch, so that pictures without opacity cost nothing: they may have 16 million pixels.
  const branch = (name: string, write: (body: GraphBuilder) => string): Attribute => {
    const body = new GraphBuilder(undefined, `clp-dd/export/${name}/`);
    body.graph.name = name;
    body.output(write(body), { dims: ["batch", "colors", "height", "width"] }, `clp-dd/export/${name}`);
    return { kind: "graph", value: body.graph };
  };
  return b.op("If", [isEven], {
    then_branch: branch("laid on white", (body) => {
      const part = (start: number, end: number) =>
        body.op("Slice", [pixels, body.ints([start]), body.ints([end]), body.ints([1])]);
      const opacity = part(-1, Number.MAX_SAFE_INTEGER);
      const colors = body.op("Mul", [part(0, -1), opacity]);
      return body.op("Add", [colors, body.op("Sub", [body.scalar(1), opacity])]);
    }),
    else_branch: branch("opaque", (body) => body.op("Identity", [pixels])),
  });
}

/** The probe's feature map and weight, over the temperature. */
function writeProbe(b: GraphBuilder, { weight, map, calibration }: ClassifierParts["probe"]): void {
  const temperature = calibration?.temperature ?? 1;
  const row = (values: Float64Array) => b.floats([1, values.length], values);
  let x: string = featuresOutput;
  if (map.mean) x = b.op("Sub", [x, row(map.mean)]);
  if (map.std) x = b.op("Mul", [x, row(map.std.map((s) => 1 / s))]);
  if (map.normalization.endsWith("l2")) {
    const norm = b.op("Sqrt", [b.reduceSum(b.op("Mul", [x, x]), [1], true)]);
    const isPositive = b.op("Greater", [norm, b.scalar(0)]);
    x = b.op("Div", [x, b.op("Where", [isPositive, norm, b.scalar(1)])]);
  }
  const scaled = weight.data.map((w) => w / temperature);
  b.named("MatMul", [x, b.floats([weight.rows, weight.cols], scaled)], classifierOutput);
}

/** The graph with other names for values that are called as the classifier's input and output are. */
function withoutNames(graph: Graph, names: readonly string[]): Graph {
  const rename = (value: string) => (names.includes(value) ? `encoder/${value}` : value);
  const renamed = (own: Graph): Graph => ({
    ...own,
    nodes: own.nodes.map(
      (node): Node => ({
        ...node,
        inputs: node.inputs.map(rename),
        outputs: node.outputs.map(rename),
        attributes: attributesOf(node.attributes),
      }),
    ),
    constants: new Map([...own.constants].map(([name, constant]) => [rename(name), constant])),
  });
  const attributesOf = (attributes: Attributes): Attributes =>
    Object.fromEntries(
      Object.entries(attributes).map(([key, attribute]) => [
        key,
        attribute.kind === "graph" ? { ...attribute, value: renamed(attribute.value) } : attribute,
      ]),
    );
  return renamed(graph);
}
