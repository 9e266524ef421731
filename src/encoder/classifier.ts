import { type Graph, intAttribute, type Node } from "../onnx-vjp/graph/ir.ts";
import { producersOf } from "../onnx-vjp/graph/links.ts";

/** The layers that make class scores, found from the model's output. */
export interface Classifier {
  /** What they read, in the order in which they were found. */
  readonly inputs: readonly string[];
  /** Whether there is one layer, or several heads whose scores are put together. */
  readonly heads: number;
}

/** Operators that turn scores into probabilities or a choice. */
const scoring: ReadonlySet<string> = new Set([
  "Softmax",
  "LogSoftmax",
  "Sigmoid",
  "ArgMax",
  "TopK",
  "Hardmax",
]);

/** Operators that leave scores what they are, but for their shape and type. */
const passing: ReadonlySet<string> = new Set([
  ...["Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"],
]);

/** Sums of scores with a bias, or of several heads' scores. */
const sums: ReadonlySet<string> = new Set(["Add", "Sub", "Sum", "Mean"]);

/** Products of scores with a constant: a temperature, or what makes a mean of a sum. */
const scaling: ReadonlySet<string> = new Set(["Mul", "Div"]);

/** Operators that pool a map of scores, as networks whose classifier is a convolution do. */
const pooling: ReadonlySet<string> = new Set(["GlobalAveragePool", "AveragePool", "ReduceMean"]);

/** How output names say that they are class scores. */
const scoreNames = /logit|prob|score|softmax|pred|class|label/i;

/** Numbers of classes of the data sets that classifiers are mostly published for: ImageNet's and its supersets'. */
const classCounts: ReadonlySet<number> = new Set([1000, 1001, 10450, 11221, 11821, 21841, 21843]);

/**
 * The linear layers that make `output`, seen through what turns their results into probabilities: matrix products, and
 * convolutions over one pixel, also where a pooling follows them. Undefined where the output is not made so.
 */
export function classifierOf(graph: Graph, output: string): Classifier | undefined {
  const search = new Search(graph);
  const inputs = search.from(output, { scores: scoreNames.test(output), pooled: false, activated: false });
  if (inputs === undefined) return undefined;
  return { inputs: [...new Set(inputs)], heads: inputs.length };
}

/** The nodes between the output and the value in question. */
interface Way {
  /** Whether the output is known to be class scores. */
  readonly scores: boolean;
  readonly pooled: boolean;
  readonly activated: boolean;
}

class Search {
  private readonly graph: Graph;
  private readonly producers: ReadonlyMap<string, Node>;
  private readonly fixed = new Map<string, boolean>();

  constructor(graph: Graph) {
    this.graph = graph;
    this.producers = producersOf(graph.nodes);
  }

  /** The inputs of the linear layers that `value` is made by; undefined where something else makes it. */
  from(value: string, way: Way): string[] | undefined {
    const node = this.producers.get(value);
    if (node === undefined) return undefined;
    const { op } = node;
    if (node.domain !== "" && node.domain !== "ai.onnx.ml" && op !== "FusedGemm") return undefined;
    const computed = node.inputs.filter((input) => input !== "" && !this.isFixed(input));
    const [x] = computed;
    if (x === undefined) return undefined;
    const linear = this.linearInput(node, computed);
    if (linear !== undefined) return this.isClassifier(node, way) ? [linear] : undefined;
    if (scoring.has(op)) return this.from(x, { ...way, scores: true });
    if (op === "ZipMap" || op === "Normalizer") return this.from(x, { ...way, scores: true });
    if (passing.has(op)) return this.from(x, way);
    if (scaling.has(op)) return computed.length === 1 ? this.from(x, way) : undefined;
    if (sums.has(op)) {
      const heads = computed.map((input) => this.from(input, way));
      return heads.includes(undefined) ? undefined : (heads as string[][]).flat();
    }
    if (pooling.has(op)) return this.from(x, { ...way, pooled: true });
    if (op === "Relu" || op === "Clip") return this.from(x, { ...way, activated: true });
    return undefined;
  }

  /**
   * Whether a linear layer is a classifier. An activation follows it in networks that have more layers; but SqueezeNet's
   * scores are rectified, and pooled, where its last convolution makes them.
   */
  private isClassifier(node: Node, { scores, pooled, activated }: Way): boolean {
    if (!activated && !pooled) return true;
    if (node.op !== "Conv" || !pooled) return scores && !activated;
    return scores || classCounts.has(this.graph.constants.get(node.inputs[1])?.dims[0] ?? 0);
  }

  /** What a linear layer with constant weights reads; undefined for other nodes. */
  private linearInput(node: Node, computed: readonly string[]): string | undefined {
    if (computed.length !== 1) return undefined;
    const [x] = computed as [string];
    switch (node.op) {
      case "Gemm":
      case "FusedGemm":
        return x === node.inputs[0] ? x : undefined;
      case "MatMul":
        return x;
      case "Conv": {
        const kernel = this.graph.constants.get(node.inputs[1] ?? "")?.dims.slice(2);
        const isPointwise = kernel?.every((k) => k === 1) && intAttribute(node, "group", 1) === 1;
        return x === node.inputs[0] && isPointwise ? x : undefined;
      }
      default:
        return undefined;
    }
  }

  /** Whether a value is computed from constants alone: weights may be cast, transposed or decoded where they are read. */
  private isFixed(value: string): boolean {
    if (this.graph.constants.has(value)) return true;
    const known = this.fixed.get(value);
    if (known !== undefined) return known;
    const node = this.producers.get(value);
    // Until it is known, a value is not: bodies read values that no input names.
    this.fixed.set(value, false);
    const isFixed =
      node !== undefined &&
      node.inputs.length > 0 &&
      Object.values(node.attributes).every((attribute) => attribute.kind !== "graph") &&
      node.inputs.every((input) => input === "" || this.isFixed(input));
    this.fixed.set(value, isFixed);
    return isFixed;
  }
}
