import { bytesPerElement, type Node, sizeOf, type TensorType } from "../graph/ir.ts";
import { cheap } from "./cheap.ts";

/**
 * Chooses which forward values to keep for the pullback: the cheapest set, in bytes, from which the pullback's
 * nodes can be computed with cheap forward nodes repeated and the expensive ones (matrix products, convolutions, norms,
 * transcendental functions) not. This is a minimum cut between what the forward makes and what the pullback
 * reads; the same idea as the partitioner of PyTorch's AOTAutograd.
 *
 * @param forward nodes of the forward graph, in execution order
 * @param needed forward values that the pullback's nodes read
 * @param free values that both sides have anyway (inputs and constants)
 * @param handedOut values that the forward's caller gets anyway: keeping one of them costs nothing
 * @returns the values to save, and the forward nodes to repeat in the pullback, in order
 */
export function partition(
  forward: readonly Node[],
  needed: ReadonlySet<string>,
  free: ReadonlySet<string>,
  types: ReadonlyMap<string, TensorType>,
  handedOut: ReadonlySet<string> = new Set(),
): { saved: string[]; repeated: Node[] } {
  const flow = new FlowNetwork();
  const source = flow.vertex();
  const sink = flow.vertex();
  const made = new Map<string, { before: number; after: number }>();
  for (const node of forward) {
    const repeatable = node.domain === "" && cheap.has(node.op);
    for (const output of node.outputs) {
      if (output === "") continue;
      const before = flow.vertex();
      const after = flow.vertex();
      made.set(output, { before, after });
      flow.edge(before, after, handedOut.has(output) ? 0 : bytesOf(types.get(output)));
      if (!repeatable) flow.edge(source, before, Number.POSITIVE_INFINITY);
      for (const input of node.inputs) {
        const from = repeatable ? made.get(input) : undefined;
        if (from) flow.edge(from.after, before, Number.POSITIVE_INFINITY);
      }
      if (needed.has(output)) flow.edge(after, sink, Number.POSITIVE_INFINITY);
    }
  }
  flow.maximize(source, sink);
  // Of the cuts of equal size, the one nearest to the pullback: ONNX Runtime fuses an activation into the
  // product or convolution before it, unless the value between them must be handed out.
  const late = flow.verticesReaching(sink);
  const cut = new Set<string>();
  for (const [value, { before, after }] of made) if (!late.has(before) && late.has(after)) cut.add(value);

  // Walk back from what the pullback reads, stopping at saved values, to see what must be repeated.
  const wanted = new Set([...needed].filter((value) => made.has(value)));
  const saved = new Set<string>();
  const repeated: Node[] = [];
  for (let i = forward.length - 1; i >= 0; i--) {
    const node = forward[i];
    const asked = node.outputs.filter((o) => wanted.has(o));
    if (asked.length === 0) continue;
    const keep = asked.filter((o) => cut.has(o));
    for (const value of keep) saved.add(value);
    if (keep.length === asked.length) continue;
    repeated.push(node);
    for (const input of node.inputs) if (input !== "" && !free.has(input)) wanted.add(input);
  }
  return { saved: [...saved], repeated: repeated.reverse() };
}

/** Bytes that the given values take. */
export function bytesOfValues(values: Iterable<string>, types: ReadonlyMap<string, TensorType>): number {
  let total = 0;
  for (const value of values) total += bytesOf(types.get(value));
  return total;
}

function bytesOf(type: TensorType | undefined): number {
  return type === undefined ? Number.POSITIVE_INFINITY : sizeOf(type.dims) * bytesPerElement[type.dtype];
}

/** Maximum flow by Dinic's algorithm on edge lists. */
class FlowNetwork {
  private readonly edges: { to: number; capacity: number }[] = [];
  private readonly edgesOf: number[][] = [];

  vertex(): number {
    return this.edgesOf.push([]) - 1;
  }

  edge(from: number, to: number, capacity: number): void {
    this.edgesOf[from].push(this.edges.push({ to, capacity }) - 1);
    this.edgesOf[to].push(this.edges.push({ to: from, capacity: 0 }) - 1);
  }

  maximize(source: number, sink: number): void {
    for (;;) {
      const level = this.levels(source);
      if (level[sink] === -1) return;
      const next = new Int32Array(this.edgesOf.length);
      while (this.push(source, sink, level, next)) {}
    }
  }

  /** Vertices from which `sink` can still be reached when no more flow fits. */
  verticesReaching(sink: number): Set<number> {
    const reaching = new Set([sink]);
    for (const vertex of reaching) {
      for (const e of this.edgesOf[vertex]) {
        // The edge e runs vertex → to; its twin runs to → vertex.
        if (this.edges[e ^ 1].capacity > 0) reaching.add(this.edges[e].to);
      }
    }
    return reaching;
  }

  private levels(source: number): number[] {
    const level = new Array<number>(this.edgesOf.length).fill(-1);
    level[source] = 0;
    const queue = [source];
    for (let head = 0; head < queue.length; head++) {
      const vertex = queue[head];
      for (const e of this.edgesOf[vertex]) {
        const { to, capacity } = this.edges[e];
        if (capacity > 0 && level[to] === -1) {
          level[to] = level[vertex] + 1;
          queue.push(to);
        }
      }
    }
    return level;
  }

  /** One augmenting path along the levels, found without recursion (graphs are thousands of nodes deep). */
  private push(source: number, sink: number, level: readonly number[], next: Int32Array): boolean {
    const path: number[] = [];
    let vertex = source;
    while (vertex !== sink) {
      const edges = this.edgesOf[vertex];
      let advanced = false;
      for (; next[vertex] < edges.length; next[vertex]++) {
        const e = edges[next[vertex]!];
        const { to, capacity } = this.edges[e];
        if (capacity > 0 && level[to] === level[vertex] + 1) {
          path.push(e);
          vertex = to;
          advanced = true;
          break;
        }
      }
      if (advanced) continue;
      if (path.length === 0) return false;
      const e = path.pop()!;
      vertex = this.edges[e ^ 1].to;
      next[vertex]++;
    }
    let bottleneck = Number.POSITIVE_INFINITY;
    for (const e of path) bottleneck = Math.min(bottleneck, this.edges[e].capacity);
    if (bottleneck === Number.POSITIVE_INFINITY)
      throw new Error("a value that cannot be kept is read by the pullback");
    for (const e of path) {
      this.edges[e].capacity -= bottleneck;
      this.edges[e ^ 1].capacity += bottleneck;
    }
    return true;
  }
}
