import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import { colorMatrix } from "./color.ts";
import { resizeMatrix } from "./interpolation.ts";

/** Sides of a pyramid's levels for images of side `size`: 1, 2, 4, … and the full size last. */
export function pyramidSizes(size: number): number[] {
  const sizes: number[] = [];
  for (let side = 1; side < size; side *= 2) sizes.push(side);
  return [...sizes, size];
}

/** Name of the render graph's input that holds the level of the given side. */
export const levelInput = (side: number): string => `level${side}`;

/** Name of the render graph's output. */
export const renderedImages = "images";

/**
 * The pyramid's rendering: image = sigmoid(2·D(Σ_level bilinear(level))), LGM's recipe (arXiv 2511.16674).
 * Inputs `level<side>` [batch, 3, side, side]; output `images` [batch, 3, size, size] in (0, 1).
 */
export function pyramidGraph(batch: number, size: number, sides: readonly number[]): Graph {
  const b = new GraphBuilder();
  let sum: string | undefined;
  for (const side of sides) {
    const level = b.input(levelInput(side), [batch, 3, side, side]);
    const full = side === size ? level : upsample(b, level, batch, side, size);
    sum = sum === undefined ? full : b.op("Add", [sum, full]);
  }
  const flat = b.reshape(sum!, [batch, 3, size * size]);
  const doubled = colorMatrix.map((value) => 2 * value);
  const mixed = b.op("MatMul", [b.floats([3, 3], doubled), flat]);
  const images = b.named("Sigmoid", [b.reshape(mixed, [batch, 3, size, size])], renderedImages);
  b.output(images, { dims: [batch, 3, size, size] });
  return b.graph;
}

function upsample(b: GraphBuilder, level: string, batch: number, side: number, size: number): string {
  const matrix = resizeMatrix(size, side);
  const transposed = new Float32Array(side * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < side; j++) transposed[j * size + i] = matrix[i * side + j];
  // Columns first, as one product over all rows of all images; then rows, image by image.
  const rows = b.reshape(level, [batch * 3 * side, side]);
  const wide = b.op("MatMul", [rows, b.floats([side, size], transposed)]);
  return b.op("MatMul", [b.floats([size, side], matrix), b.reshape(wide, [batch, 3, side, size])]);
}
