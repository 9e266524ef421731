import { ModelError } from "../errors.ts";
import type { Preprocessing } from "../images/preprocess.ts";
import { resampleMatrix } from "../images/resample-float.ts";
import type { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import {
  type Attributes,
  type Graph,
  int,
  intAttribute,
  ints,
  intsAttribute,
  type Node,
  type ValueInfo,
} from "../onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../onnx-vjp/graph/live.ts";
import { imagesInput } from "./batched-features.ts";
import type { EncoderModel } from "./encoder-model.ts";
import type { Layout, ModelForm } from "./model-form.ts";

/** A model's image input, and how images are to be laid out for it. */
export interface ImageInput {
  readonly name: string;
  readonly layout: Layout;
  /** 3 for colors, 1 for gray. */
  readonly channels: 1 | 3;
  /** Declared sizes; undefined where they are open. */
  readonly batch: number | undefined;
  readonly height: number | undefined;
  readonly width: number | undefined;
}

/** Shape of the model's image input for `batch` images of a size. */
export function imageDims(
  { layout, channels }: ImageInput,
  batch: number,
  crop: readonly [number, number],
): number[] {
  return layout === "nchw" ? [batch, channels, ...crop] : [batch, ...crop, channels];
}

/** The graph that computes `values` alone, with the inputs that it reads. */
export function onlyTowards(graph: Graph, values: readonly string[]): Graph {
  const cut = withoutDeadNodes({
    ...graph,
    outputs: values.map((name) => ({ name, dtype: "float32" as const, dims: [] })),
  });
  const read = new Set(cut.nodes.flatMap((node) => node.inputs));
  return { ...cut, inputs: cut.inputs.filter((input) => read.has(input.name)) };
}

/** A model's graph as far as its feature needs it, and its image input. */
export interface Cut {
  readonly graph: Graph;
  readonly image: ImageInput;
}

/** The graph that computes `feature`, and the image that it reads. Throws ModelError as `imageInputOf`. */
export function cutToFeature(model: EncoderModel, feature: string): Cut {
  const graph = onlyTowards(model.graph, [feature]);
  // A feature of constants only is reported with the inputs that there are.
  const read = graph.inputs.length > 0 ? graph : { ...graph, inputs: model.graph.inputs };
  return { graph, image: imageInputOf(read, model) };
}

/**
 * Writes the resizing of images [batch, 3, side, side] to what an encoder takes, [batch, 3, H, W], as `resampleFloat` does
 * it: two matrix products, and what the cubic overshoots is cut at 0 and 1.
 * @param note records the shape of a value that is made, and returns its name
 * @returns the name of the resized images; that of the images where they have the size already
 */
export function writeResize(
  b: GraphBuilder,
  { crop: [height, width], interpolation }: Pick<Preprocessing, "crop" | "interpolation">,
  batch: number,
  side: number,
  note: (name: string, shape: readonly number[]) => string,
): string {
  if (height === side && width === side) return imagesInput;
  const across = resampleMatrix(side, width, interpolation);
  const transposed = new Float32Array(side * width);
  for (let x = 0; x < width; x++)
    for (let j = 0; j < side; j++) transposed[j * width + x] = across[x * side + j];
  const narrow = note(b.op("MatMul", [imagesInput, b.floats([side, width], transposed)]), [
    batch,
    3,
    side,
    width,
  ]);
  const down = b.floats([height, side], resampleMatrix(side, height, interpolation));
  const dims = [batch, 3, height, width];
  const resized = note(b.op("MatMul", [down, narrow]), dims);
  return note(b.op("Clip", [resized, b.scalar(0), b.scalar(1)]), dims);
}

/**
 * Writes what a model takes from images in [0, 1], [batch, 3, H, W]: (x − μ)/σ as x·(1/σ) − μ/σ, in gray where it wants
 * that, in its layout.
 *
 * @param images their name
 * @param note records the shape of a value that is made, and returns its name
 * @throws ModelError for a model of gray images of which nobody said how colors become gray
 */
export function writeInput(
  b: GraphBuilder,
  { preprocessing, gray }: EncoderModel,
  image: ImageInput,
  images: string,
  batch: number,
  note: (name: string, shape: readonly number[]) => string,
): void {
  const { mean, std, crop } = preprocessing;
  if (image.channels === 1 && gray === undefined) {
    throw new ModelError(
      `The model takes gray images ("${image.name}"), and its file does not say how colors become gray. Say it with ` +
        "`gray: 'luma'` (0.299 R + 0.587 G + 0.114 B, as Pillow and torchvision convert) or `gray: 'average'`.",
    );
  }
  const shares = image.channels === 1 ? grayShares[gray!] : [1, 1, 1];
  const perChannel = (values: readonly number[]) => b.floats([1, 3, 1, 1], values);
  const scale = perChannel(std.map((s, i) => shares[i] / s));
  const shifts = std.map((s, i) => (-mean[i] * shares[i]) / s);
  const dims = (channels: number) => [batch, channels, ...crop];
  let pixels = note(b.op("Mul", [images, scale]), dims(3));
  if (image.channels === 1) pixels = note(b.reduceSum(pixels, [1], true), dims(1));
  const shift = image.channels === 1 ? b.scalar(shifts.reduce((sum, s) => sum + s, 0)) : perChannel(shifts);
  const isOwnLayout = image.layout === "nchw";
  const isReversed = preprocessing.channels === "bgr" && image.channels === 3;
  // The last of these steps gives the model's input its name.
  const steps: { op: string; inputs: string[]; attributes?: Attributes; dims: readonly number[] }[] = [
    { op: "Add", inputs: [shift], dims: dims(image.channels) },
    ...(isReversed
      ? [{ op: "Gather", inputs: [b.ints([2, 1, 0])], attributes: { axis: int(1) }, dims: dims(3) }]
      : []),
    ...(isOwnLayout
      ? []
      : [
          {
            op: "Transpose",
            inputs: [],
            attributes: { perm: ints([0, 2, 3, 1]) },
            dims: imageDims(image, batch, crop),
          },
        ]),
  ];
  for (const [i, { op, inputs, attributes = {}, dims: shape }] of steps.entries()) {
    const all = [pixels, ...inputs];
    const isLast = i === steps.length - 1;
    pixels = note(isLast ? b.named(op, all, image.name, attributes) : b.op(op, all, attributes), shape);
  }
}

/** What each color adds to gray. */
const grayShares = { luma: [0.299, 0.587, 0.114], average: [1 / 3, 1 / 3, 1 / 3] } as const;

/** Element types that pixels may have. */
const floats: ReadonlySet<string> = new Set(["float32", "float64", "float16", "bfloat16"]);

const shown = ({ name, dtype, dims, ranked }: ValueInfo): string =>
  ranked === false
    ? `"${name}" ${dtype} of any shape`
    : `"${name}" ${dtype} [${dims.map((d) => d || "?").join(", ")}]`;

/**
 * The one image input of a graph: [batch, 3, height, width] or [batch, height, width, 3], with one channel for gray.
 *
 * @param graph cut to the feature: other inputs than those it reads do not matter
 * @throws ModelError for other inputs, and where the image's layout cannot be determined
 */
export function imageInputOf(graph: Graph, form: ModelForm = {}): ImageInput {
  const [input, ...others] = graph.inputs;
  if (input === undefined)
    throw new ModelError("The model has no input. Expected one image tensor [batch, 3, H, W].");
  const layout = form.inputLayout ?? layoutOf(graph, input);
  const isImage = others.length === 0 && (input.ranked === false || input.dims.length === 4);
  const channels = layout === undefined ? undefined : channelsOf(graph, input, layout);
  if (!isImage || (layout !== undefined && channels === undefined)) {
    throw new ModelError(
      `The model takes ${graph.inputs.map(shown).join(", ")}. Expected one image input [batch, 3, height, width] or ` +
        "[batch, height, width, 3]: choose the vision encoder of the model (for CLIP exports, vision_model.onnx), or a " +
        "feature tensor that needs no other input.",
    );
  }
  if (!floats.has(input.dtype)) {
    throw new ModelError(
      `The model's image input is ${shown(input)}: whole numbers have no gradient. Expected normalized pixels as ` +
        "float32 (or float16): export the model without the conversion.",
    );
  }
  if (layout === undefined || channels === undefined) {
    throw new ModelError(
      `The model takes ${shown(input)}, and its graph does not say which axis holds the colors. Say it with ` +
        "`inputLayout: 'nchw'` ([batch, 3, height, width]) or `inputLayout: 'nhwc'` ([batch, height, width, 3]).",
    );
  }
  const size = (axis: number) => {
    const d = input.dims[axis];
    return typeof d === "number" ? d : undefined;
  };
  const [height, width] = layout === "nchw" ? [size(2), size(3)] : [size(1), size(2)];
  return { name: input.name, layout, channels, batch: size(0), height, width };
}

/** Height and width of the first input that looks like images; undefined where they are open. */
export function declaredSize(
  graph: Graph,
  form: ModelForm,
): { readonly height: number | undefined; readonly width: number | undefined } {
  const input = graph.inputs.find(({ dims, dtype }) => dims.length === 4 && floats.has(dtype));
  if (input === undefined) return { height: undefined, width: undefined };
  const axes = (form.inputLayout ?? layoutOf(graph, input)) === "nhwc" ? [1, 2] : [2, 3];
  const [height, width] = axes.map((axis) => {
    const d = input.dims[axis];
    return typeof d === "number" ? d : undefined;
  });
  return { height, width };
}

/** The channels of an input: declared, else those of the convolution that reads it; undefined for no image's. */
function channelsOf(graph: Graph, input: ValueInfo, layout: Layout): 1 | 3 | undefined {
  const declared = input.dims[layout === "nchw" ? 1 : 3];
  const channels = typeof declared === "number" ? declared : (readAs(graph, input.name)?.channels ?? 3);
  return channels === 1 || channels === 3 ? channels : undefined;
}

/** The layout of an image input: as its declared sizes say, else as the graph reads it; undefined where neither does. */
function layoutOf(graph: Graph, input: ValueInfo): Layout | undefined {
  const [, first, , last] = input.dims;
  for (const channels of [3, 1]) {
    if (first === channels && last !== channels) return "nchw";
    if (last === channels && first !== channels) return "nhwc";
  }
  // Whatever their number, channels that are declared last are what a convolution reads first.
  const read = readAs(graph, input.name);
  if (read === undefined) return undefined;
  return read.axis === 1 ? "nchw" : read.axis === 3 ? "nhwc" : undefined;
}

/** Operators that read channels from their second axis. */
const channelsFirst: ReadonlySet<string> = new Set([
  ...["Conv", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "DeformConv"],
  ...["MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"],
  ...["SpaceToDepth", "DepthToSpace", "ConvTranspose", "GridSample"],
]);

/** Operators that leave every axis of their first input where it is. */
const inPlace: ReadonlySet<string> = new Set([
  ...[
    "Identity",
    "Cast",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Pow",
    "Sqrt",
    "Clip",
    "Relu",
    "Tanh",
    "Sigmoid",
  ],
  ...[
    "Pad",
    "Slice",
    "Resize",
    "Upsample",
    "Dropout",
    "Min",
    "Max",
    "Where",
    "ReverseSequence",
    "Abs",
    "Exp",
  ],
]);

/**
 * Which axis of the value `name` the graph reads as channels, and how many a convolution expects there; undefined where
 * nothing says so. Follows the value through what keeps its axes or exchanges them.
 */
function readAs(graph: Graph, name: string): { axis: number; channels?: number } | undefined {
  // For each value that still has the input's axes: which of them is where.
  const order = new Map<string, readonly number[]>([[name, [0, 1, 2, 3]]]);
  for (const node of graph.nodes) {
    const source = node.inputs.find((input) => order.has(input));
    if (source === undefined || node.domain !== "") continue;
    const axes = order.get(source)!;
    if (channelsFirst.has(node.op) && source === node.inputs[0]) {
      const weight = node.op === "Conv" ? graph.constants.get(node.inputs[1] ?? "") : undefined;
      const channels = weight && weight.dims[1] * intAttribute(node, "group", 1);
      return { axis: axes[1], ...(channels === undefined ? {} : { channels }) };
    }
    const hinted = broadcastAxis(graph, node, source);
    if (hinted !== undefined) return { axis: axes[hinted], channels: 3 };
    const next =
      node.op === "Transpose"
        ? (intsAttribute(node, "perm") ?? [3, 2, 1, 0]).map((axis) => axes[axis])
        : inPlace.has(node.op)
          ? axes
          : undefined;
    if (next?.length === 4 && node.outputs[0]) order.set(node.outputs[0], next);
  }
  return undefined;
}

/** The axis along which a mean or deviation of three numbers meets an image of four axes. */
function broadcastAxis(graph: Graph, node: Node, source: string): number | undefined {
  if (!["Add", "Sub", "Mul", "Div"].includes(node.op)) return undefined;
  const other = node.inputs.find((input) => input !== source);
  const dims = graph.constants.get(other ?? "")?.dims;
  if (dims === undefined || dims.length > 4 || dims.filter((d) => d !== 1).join() !== "3") return undefined;
  return 4 - dims.length + dims.indexOf(3);
}
