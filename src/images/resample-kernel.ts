import type { Canvas, RgbImage } from "./types.ts";

/** The weights of a run of output positions along one axis: position i reads `count[i]` sources from `first[i]`. */
export interface Taps {
  /** The longest count; the weights of position i start at `i * stride`. */
  readonly stride: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
}

/**
 * resample-kernel.wat as a binary module, made by `npx -p wabt wat2wasm resample-kernel.wat`: WebAssembly with 128-bit
 * vectors, which takes less than a third of the time that the same sums take in JavaScript.
 */
export const binary =
  "AGFzbQEAAAABFAJgB39/f39/f38AYAZ/f39/f38AAwMCAAEFAwEAAQcaAwZtZW1vcnkCAAZhY3Jvc3MAAARkb3duAAEKuAMCuAEC" +
  "A38BewNA/QwAACAAAAAgAAAAIAAAACAAIQogACADKAIAQQNsaiEHIAUhCCAFIAQoAgBBAnRqIQkCQANAIAggCU8NASAKIAf9XAIA" +
  "/YkB/akBIAj9CQIA/bUB/a4BIQogB0EDaiEHIAhBBGohCAwACwsgCkEW/awBIQogCiAK/YUBIQogASAKIAr9Zv1aAgAAIAFBA2oh" +
  "ASADQQRqIQMgBEEEaiEEIAUgBmohBSACQQFrIgINAAsL+wECA38HeyACIANBAnRqIQgDQP0MAAAgAAAAIAAAACAAAAAgACEMIAwh" +
  "DSAMIQ4gDCEPIAAhBiACIQcCQANAIAcgCE8NASAH/QkCACEJIAb9AAQAIQogCv2JASELIAwgCSAL/akB/bUB/a4BIQwgDSAJIAv9" +
  "qgH9tQH9rgEhDSAK/YoBIQsgDiAJIAv9qQH9tQH9rgEhDiAPIAkgC/2qAf21Af2uASEPIAYgAWohBiAHQQRqIQcMAAsLIAQgDEEW" +
  "/awBIA1BFv2sAf2FASAOQRb9rAEgD0EW/awB/YUB/Wb9CwQAIABBEGohACAEQRBqIQQgBUEQayIFDQALCw==";

interface Kernel {
  readonly memory: WebAssembly.Memory;
  across(
    source: number,
    out: number,
    width: number,
    first: number,
    count: number,
    weights: number,
    stride: number,
  ): void;
  down(source: number, step: number, weights: number, count: number, out: number, bytes: number): void;
}

/** Made when first needed, one for each thread; its memory stays as large as the largest image needed. */
let made: Kernel | undefined;

function kernel(bytes: number): Kernel {
  if (made === undefined) {
    const module = new WebAssembly.Module(Uint8Array.from(atob(binary), (c) => c.charCodeAt(0)));
    made = new WebAssembly.Instance(module).exports as unknown as Kernel;
  }
  const { memory } = made;
  const missing = Math.ceil((bytes - memory.buffer.byteLength) / 65536);
  if (missing > 0) memory.grow(missing);
  return made;
}

/** Bytes of a row of RGB pixels in the kernel's memory: whole vectors, and room for what a last pixel spills. */
const stepOf = (pixels: number): number => Math.ceil((3 * pixels + 1) / 16) * 16;

/**
 * The rows `[top, top + rows)` of the image resampled along x, and those along y into the canvas; results between the
 * passes are rounded to 8 bits, as Pillow's are.
 */
export function resamplePasses(
  image: RgbImage,
  across: Taps,
  down: Taps,
  top: number,
  rows: number,
  canvas: Canvas,
): void {
  const width = across.first.length;
  const height = down.first.length;
  const step = stepOf(width);
  // In the kernel's memory, one after the other.
  let free = 0;
  const take = (bytes: number): number => {
    const at = free;
    free += Math.ceil(bytes / 16) * 16;
    return at;
  };
  const first = take(4 * width);
  const count = take(4 * width);
  const weights = take(4 * across.weights.length);
  const downWeights = take(4 * down.weights.length);
  const source = take(stepOf(image.width));
  const between = take(rows * step);
  const out = take(step);
  const { memory, ...pass } = kernel(free);
  const bytes = new Uint8Array(memory.buffer);
  const words = new Int32Array(memory.buffer);
  words.set(across.first, first / 4);
  words.set(across.count, count / 4);
  words.set(across.weights, weights / 4);
  words.set(down.weights, downWeights / 4);

  const sourceRow = image.width * 3;
  for (let y = 0; y < rows; y++) {
    const start = (top + y) * sourceRow;
    bytes.set(image.data.subarray(start, start + sourceRow), source);
    pass.across(source, between + y * step, width, first, count, weights, 4 * across.stride);
  }
  const plane = canvas.height * canvas.width;
  for (let y = 0; y < height; y++) {
    const from = between + (down.first[y] - top) * step;
    pass.down(from, step, downWeights + 4 * y * down.stride, down.count[y], out, step);
    let red = (canvas.top + y) * canvas.width + canvas.left;
    for (let at = out; at < out + 3 * width; at += 3, red++) {
      canvas.data[red] = bytes[at];
      canvas.data[red + plane] = bytes[at + 1];
      canvas.data[red + 2 * plane] = bytes[at + 2];
    }
  }
}
