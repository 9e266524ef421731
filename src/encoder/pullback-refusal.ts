import { ModelError } from "../errors.ts";
import { describeNode, type Graph, type TracedGraph } from "../onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../onnx-vjp/graph/live.ts";
import { activeValues, nodesWithoutRule } from "../onnx-vjp/vjp/derive.ts";
import { featureCandidates } from "./select-feature.ts";

/** How many nodes an error lists by name. */
const mostListed = 20;

/**
 * The error about a feature that cannot be differentiated with respect to the image; undefined for one that can.
 *
 * @param traced the graph from `input` to `output`, at static shapes
 * @param model the graph as it was read: its names are those that `feature` takes
 * @param feature the name of the feature that was chosen
 * @returns a ModelError naming every node without a pullback rule between the two, and the nearest tensor before the
 *   feature that can be differentiated
 */
export function pullbackRefusal(
  traced: TracedGraph,
  model: Graph,
  input: string,
  output: string,
  feature: string,
): ModelError | undefined {
  const missing = nodesWithoutRule(traced, [input], [output]);
  if (missing.length === 0) return undefined;
  const listed = missing.slice(0, mostListed).map(describeNode).join(", ");
  const more = missing.length > mostListed ? ` and ${missing.length - mostListed} more` : "";
  const nearest = nearestDifferentiable(traced, model, input, feature);
  return new ModelError(
    `The feature "${feature}" cannot be differentiated: there is no pullback rule for ${listed}${more}. ` +
      (nearest === undefined
        ? "No tensor before them can serve as a feature: choose another encoder."
        : `The nearest feature tensor that can be is "${nearest}" [${traced.types.get(nearest)!.dims.join(", ")}]: ` +
          `choose it with \`feature: ${JSON.stringify(nearest)}\`.`),
  );
}

/** The latest tensor before `feature` with rules on its whole way from the input: a usual feature, else any. */
function nearestDifferentiable(
  traced: TracedGraph,
  model: Graph,
  input: string,
  feature: string,
): string | undefined {
  const [batch] = traced.types.get(input)!.dims;
  const before = withoutDeadNodes({ ...model, outputs: [{ name: feature, dtype: "float32", dims: [] }] });
  const usual = new Set(featureCandidates(before));
  const named = new Set(before.nodes.flatMap((node) => node.outputs));
  const latestFirst = traced.nodes.flatMap((node) => node.outputs).reverse();
  const works = (name: string): boolean => {
    const { dims } = traced.types.get(name)!;
    // One vector, a row of tokens or a map an image.
    if (dims[0] !== batch || dims.length < 2 || dims.length > 4) return false;
    return (
      activeValues(traced, [input], [name]).has(name) &&
      nodesWithoutRule(traced, [input], [name]).length === 0
    );
  };
  const known = latestFirst.filter((name) => named.has(name) && traced.types.has(name));
  return known.find((name) => usual.has(name) && works(name)) ?? known.find(works);
}
