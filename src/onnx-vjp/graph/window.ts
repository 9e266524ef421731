import { type Attributes, int, ints, intsAttribute, type Node } from "./ir.ts";

/** The geometry of a convolution or pooling window, one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** Reads a window from a node's attributes; padding is explicit (auto_pad is lowered at import). */
export function windowOf(node: Node, kernel: readonly number[]): Window {
  const rank = kernel.length;
  const ones = kernel.map(() => 1);
  const pads = intsAttribute(node, "pads") ?? [...ones, ...ones].map(() => 0);
  return {
    kernel,
    strides: intsAttribute(node, "strides") ?? ones,
    dilations: intsAttribute(node, "dilations") ?? ones,
    begin: pads.slice(0, rank),
    end: pads.slice(rank),
  };
}

export function windowAttributes(window: Window, group: number): Attributes {
  const { kernel, strides, dilations, begin, end } = window;
  return {
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
    pads: ints([...begin, ...end]),
    group: int(group),
  };
}

/** How many positions there are between the first and the last that a window reads, along each axis. */
export function reachOf({ kernel, dilations }: Window): number[] {
  return kernel.map((k, i) => (k - 1) * dilations[i]);
}

/**
 * How many elements the mean over each window is of: those in the input and, with `padding`, those in the declared
 * padding. Windows of ceil_mode may reach further, which never counts.
 *
 * @param space the input's spatial sizes
 * @param out the output's; the counts are of this shape
 */
export function windowCounts(
  { kernel, strides, dilations, begin, end }: Window,
  space: readonly number[],
  out: readonly number[],
  padding: boolean,
): Float64Array {
  const perAxis = kernel.map((k, axis) =>
    Array.from({ length: out[axis] }, (_, o) => {
      let count = 0;
      for (let t = 0; t < k; t++) {
        const position = o * strides[axis] - begin[axis] + t * dilations[axis];
        const low = padding ? -begin[axis] : 0;
        const high = space[axis] + (padding ? end[axis] : 0);
        if (position >= low && position < high) count++;
      }
      return count;
    }),
  );
  let counts = [1];
  for (const axis of perAxis) counts = counts.flatMap((n) => axis.map((a) => n * a));
  return Float64Array.from(counts);
}
