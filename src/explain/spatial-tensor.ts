import { channelAxisOf } from "../encoder/channel-axis.ts";
import { ModelError, UsageError } from "../errors.ts";
import type { Node, TracedGraph } from "../onnx-vjp/graph/ir.ts";
import { producersOf } from "../onnx-vjp/graph/links.ts";

/** A tensor whose positions are places of the image, and how it is laid out. */
export interface SpatialTensor {
  readonly name: string;
  readonly dims: readonly number[];
  /** Places, from top to bottom and from left to right. */
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  /** Where channel `c` of place `p` is among the numbers of one image. */
  readonly at: (p: number, c: number) => number;
  /** For people: "map [1280, 7, 7]", "tokens [197, 768], 1 of them without a place". */
  readonly shown: string;
}

/** An image's batch and size. */
interface Image {
  readonly name: string;
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

/** Tokens without a place, at most: a class token and registers. */
const mostPrefix = 16;

/** Operators that make what is between a transformer's layers; what layers make inside of them is no feature. */
const tokenOperators: readonly string[] = ["LayerNormalization", "SimplifiedLayerNormalization", "Add"];

/**
 * The tensor that Grad-CAM looks at: the one that is asked for, else the last map of the image before the feature. Of tokens
 * that is the output of the last normalization that all of them have: in front of the last attention where the feature is the
 * class token, else in front of the pooling.
 *
 * @param graph traced, from images to `feature`
 * @throws UsageError for a name that is not in the graph, or not a map; ModelError where there is no map
 */
export function spatialTensor(
  graph: TracedGraph,
  feature: string,
  image: Image,
  asked?: string,
): SpatialTensor {
  const leading = ancestors(graph, feature);
  const nodes = graph.nodes.filter((node) => leading.has(node));
  const mapOf = (name: string) => laidOut(graph, name, image);
  if (asked !== undefined) {
    const map = nodes.some(({ outputs }) => outputs.includes(asked)) ? mapOf(asked) : undefined;
    if (map !== undefined) return map;
    const known = nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== "" && mapOf(name));
    const dims = graph.types.get(asked)?.dims;
    const why =
      dims === undefined
        ? `The encoder has no tensor "${asked}" on the way to its feature`
        : `The tensor "${asked}" has shape [${dims.join(", ")}], which is no map of places`;
    throw new UsageError(`${why}. Give one of ${known.slice(-6).reverse().join(", ")}.`);
  }
  const candidates = nodes.flatMap((node, place) =>
    node.outputs.flatMap((name) => {
      const map = name === "" ? undefined : mapOf(name);
      if (map === undefined) return [];
      const rank = map.dims.length === 4 ? 0 : tokenOperators.indexOf(node.op);
      return rank < 0 ? [] : [{ map, place, isSum: node.op === "Add" && map.dims.length !== 4 }];
    }),
  );
  // Sums with a bias are sums, too: they count where nothing is normalized.
  const normalized = candidates.filter(({ isSum }) => !isSum);
  const hasNorms = normalized.some(({ map }) => map.dims.length !== 4);
  const last = (hasNorms ? normalized : candidates).at(-1);
  if (last !== undefined) return last.map;
  throw new ModelError(
    `The encoder makes no map of the image on the way to "${feature}": Grad-CAM has nothing to look at.`,
  );
}

/** The nodes that a value depends on. */
function ancestors(graph: TracedGraph, value: string): ReadonlySet<Node> {
  const producers = producersOf(graph.nodes);
  const found = new Set<Node>();
  const open = [value];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = producers.get(name);
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    open.push(...node.inputs);
  }
  return found;
}

/** How a tensor is laid out over the image; undefined where it is not. */
function laidOut(graph: TracedGraph, name: string, image: Image): SpatialTensor | undefined {
  const type = graph.types.get(name);
  if (type?.dtype !== "float32") return undefined;
  const { dims } = type;
  const { batch, height, width } = image;
  if (dims.length === 4 && dims[0] === batch) {
    const axis = channelAxisOf(graph, name, { name: image.name, axis: 1 });
    const [rows, columns] = axis === 1 ? [dims[2], dims[3]] : [dims[1], dims[2]];
    // The map's sides are as the image's, up to one place.
    const fits =
      rows > 1 && columns > 1 && Math.abs(rows * width - columns * height) <= Math.max(height, width);
    if (!fits || (axis !== 1 && axis !== 3)) return undefined;
    const channels = dims[axis];
    const places = rows * columns;
    const at =
      axis === 1 ? (p: number, c: number) => c * places + p : (p: number, c: number) => p * channels + c;
    return { name, dims, rows, columns, channels, at, shown: `map [${dims.slice(1).join(", ")}]` };
  }
  const isStack = dims.length === 3 && dims[0] === batch;
  const isMatrix = dims.length === 2 && dims[0] % batch === 0;
  if (!isStack && !isMatrix) return undefined;
  const tokens = isStack ? dims[1] : dims[0] / batch;
  const channels = dims.at(-1)!;
  const grid = gridOf(tokens, height, width);
  if (grid === undefined || channels < 2) return undefined;
  const prefix = tokens - grid.rows * grid.columns;
  return {
    ...{ name, dims, channels, rows: grid.rows, columns: grid.columns },
    at: (p, c) => (prefix + p) * channels + c,
    shown: `tokens [${tokens}, ${channels}]${prefix > 0 ? `, ${prefix} without a place` : ""}`,
  };
}

/** The grid of square patches that so many tokens are, with as few others before them as there can be. */
function gridOf(
  tokens: number,
  height: number,
  width: number,
): { rows: number; columns: number } | undefined {
  for (let patch = 2; patch <= Math.min(height, width) / 2; patch++) {
    if (height % patch !== 0 || width % patch !== 0) continue;
    const [rows, columns] = [height / patch, width / patch];
    const prefix = tokens - rows * columns;
    if (prefix >= 0) return prefix <= mostPrefix ? { rows, columns } : undefined;
  }
  return undefined;
}
