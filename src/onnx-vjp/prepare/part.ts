import { bytesPerElement, type Constant, sizeOf } from "../graph/ir.ts";

/** A part of a value: for each axis the indices it takes, ascending, or undefined for all of them. */
export type Part = readonly (readonly number[] | undefined)[];

/** All of a value of rank `rank`. */
export const wholeOf = (rank: number): Part => new Array<undefined>(rank).fill(undefined);

export const isWhole = (part: Part): boolean => part.every((indices) => indices === undefined);

/** The shape that a part of a value of shape `dims` has. */
export const dimsOf = (part: Part, dims: readonly number[]): number[] =>
  dims.map((d, axis) => part[axis]?.length ?? d);

export const keyOf = (part: Part): string => JSON.stringify(part.map((indices) => indices ?? null));

/** The indices, or undefined where they are all `size`. */
export const unlessAll = (indices: readonly number[], size: number): readonly number[] | undefined =>
  indices.length === size ? undefined : indices;

export const range = (size: number): number[] => Array.from({ length: size }, (_, i) => i);

/** The smallest part that holds both. */
export function union(a: Part, b: Part, dims: readonly number[]): Part {
  return dims.map((d, axis) => {
    const [first, second] = [a[axis], b[axis]];
    if (first === undefined || second === undefined) return undefined;
    const all = [...new Set([...first, ...second])].sort((x, y) => x - y);
    return unlessAll(all, d);
  });
}

/** Where along each axis of `holder` the indices of `part` are; undefined where `holder` lacks one. */
export function within(part: Part, holder: Part): Part | undefined {
  const places: (readonly number[] | undefined)[] = [];
  for (const [axis, held] of holder.entries()) {
    const wanted = part[axis];
    if (held === undefined) {
      places.push(wanted);
      continue;
    }
    if (wanted === undefined) return undefined;
    const at = new Map(held.map((index, place) => [index, place]));
    const found = wanted.map((index) => at.get(index));
    if (found.includes(undefined)) return undefined;
    places.push(unlessAll(found as number[], held.length));
  }
  return places;
}

/** Start and step of evenly spaced indices, or undefined. */
export function progressionOf(indices: readonly number[]): { start: number; step: number } | undefined {
  const start = indices[0];
  const step = indices.length > 1 ? indices[1] - start : 1;
  return indices.every((index, i) => index === start + i * step) ? { start, step } : undefined;
}

/** Elements of a reshaped group of axes that are looked at one by one. */
const largestGroup = 1 << 20;

/**
 * A part of a reshaped value as a part of what it was reshaped from: neighboring axes that are joined or split
 * are looked at together. Where the same elements are no part of the source, the part grows to the whole axes.
 */
export function throughReshape(
  part: Part,
  dims: readonly number[],
  from: readonly number[],
): { readonly part: Part; readonly source: Part } {
  const grown: (readonly number[] | undefined)[] = [...part];
  const source: (readonly number[] | undefined)[] = [...wholeOf(from.length)];
  for (const group of matchAxes(dims, from)) {
    if (group.to.every((axis) => part[axis] === undefined)) continue;
    const own = group.to.map((axis) => dims[axis]);
    const other = group.from.map((axis) => from[axis]);
    const carried =
      sizeOf(own) <= largestGroup
        ? refactored(
            group.to.map((axis) => part[axis]),
            own,
            other,
          )
        : undefined;
    if (carried) for (const [i, axis] of group.from.entries()) source[axis] = carried[i];
    else for (const axis of group.to) grown[axis] = undefined;
  }
  return { part: grown, source };
}

/** Neighboring axes of two shapes of one size, grouped so that each group has as many elements in both. */
function matchAxes(to: readonly number[], from: readonly number[]): { to: number[]; from: number[] }[] {
  const groups: { to: number[]; from: number[] }[] = [];
  for (let i = 0, j = 0; i < to.length || j < from.length; ) {
    const group = { to: [] as number[], from: [] as number[] };
    let [a, b] = [1, 1];
    do {
      if ((a <= b && i < to.length) || j === from.length) {
        group.to.push(i);
        a *= to[i++];
      } else {
        group.from.push(j);
        b *= from[j++];
      }
    } while ((a !== b || group.to.length === 0) && (i < to.length || j < from.length));
    groups.push(group);
  }
  return groups;
}

/** The elements of a part of a value of shape `dims` as a part of the same elements in shape `other`. */
function refactored(part: Part, dims: readonly number[], other: readonly number[]): Part | undefined {
  let flat = [0];
  for (const [axis, d] of dims.entries()) {
    const indices = part[axis] ?? range(d);
    flat = flat.flatMap((offset) => indices.map((index) => offset * d + index));
  }
  const sets = other.map(() => new Set<number>());
  for (const offset of flat) {
    let rest = offset;
    for (let axis = other.length - 1; axis >= 0; axis--) {
      sets[axis].add(rest % other[axis]);
      rest = Math.floor(rest / other[axis]);
    }
  }
  // The product of what is seen along each axis holds every element seen; it is them if it has no more.
  if (sizeOf(sets.map((set) => set.size)) !== flat.length) return undefined;
  return sets.map((set, axis) =>
    unlessAll(
      [...set].sort((a, b) => a - b),
      other[axis],
    ),
  );
}

/** A part of a constant, as a separate constant. */
export function takeConstant(constant: Constant, part: Part): Constant {
  const { dtype, dims } = constant;
  const width = bytesPerElement[dtype];
  const last = part.findLastIndex((indices) => indices !== undefined);
  const block = sizeOf(dims.slice(last + 1)) * width;
  let offsets = [0];
  for (let axis = 0; axis <= last; axis++) {
    const indices = part[axis] ?? range(dims[axis]);
    offsets = offsets.flatMap((offset) => indices.map((index) => offset * dims[axis] + index));
  }
  const bytes = new Uint8Array(offsets.length * block);
  for (const [i, offset] of offsets.entries()) {
    bytes.set(constant.bytes.subarray(offset * block, (offset + 1) * block), i * block);
  }
  return { dtype, dims: dimsOf(part, dims), bytes };
}
