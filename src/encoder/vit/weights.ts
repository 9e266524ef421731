import { ModelError } from "../../errors.ts";
import { isFloat, type SafetensorsEntry } from "../../files/safetensors-header.ts";
import { gridOf, prefixTokens, type VisionTransformer } from "./description.ts";
import type { NameMap } from "./names.ts";

/** Tensors of one or several safetensors files, read when asked for. */
export interface WeightFiles {
  /** What messages call them: a file, or a folder. */
  readonly where: string;
  readonly tensors: ReadonlyMap<string, Pick<SafetensorsEntry, "dtype" | "shape">>;
  /** A tensor's values as float32. */
  floats(name: string): Promise<Float32Array>;
}

/** A model's weights by part ("patch.weight", "blocks.0.norm1.bias"), whatever the file calls them. */
export interface Weights {
  has(part: string): boolean;
  floats(part: string): Promise<Float32Array>;
}

/** A tensor that a description asks for. Leading dimensions of 1 count as absent, in it and in the file. */
interface Parameter {
  readonly part: string;
  readonly shape: readonly number[];
  readonly optional?: boolean;
}

/** Every tensor that a Vision Transformer of this description has. */
export function parametersOf(v: VisionTransformer): Parameter[] {
  const list: Parameter[] = [];
  const add = (part: string, ...shape: number[]) => list.push({ part, shape });
  const linear = (part: string, from: number, to: number, bias = true): void => {
    add(`${part}.weight`, to, from);
    if (bias) add(`${part}.bias`, to);
  };
  const norm = (part: string): void => {
    add(`${part}.weight`, v.width);
    add(`${part}.bias`, v.width);
  };
  const { width: d, hidden, patch } = v;
  if (v.patchWeights === "matrix") add("patch.weight", d, patch * patch * 3);
  else add("patch.weight", d, 3, patch, patch);
  if (v.patchBias) add("patch.bias", d);
  if (v.classToken) add("class", d);
  if (v.distillationToken) add("distillation", d);
  if (v.registers > 0) add("registers", v.registers, d);
  if (v.position) {
    const [rows, columns] = gridOf(v, v.image);
    add("position", v.position.prefix + rows * columns, d);
  }
  if (v.preNorm) norm("preNorm");
  for (let i = 0; i < v.depth; i++) {
    const block = (part: string) => `blocks.${i}.${part}`;
    norm(block("norm1"));
    if (v.qkv === "split") {
      linear(block("q"), d, d, v.queryBias);
      linear(block("k"), d, d, v.keyBias);
      linear(block("v"), d, d, v.valueBias);
    } else {
      linear(block("qkv"), d, 3 * d, v.qkv === "fused" && v.queryBias);
      if (v.qkv === "fused-apart-bias" && v.queryBias) add(block("q.apart"), d);
      if (v.qkv === "fused-apart-bias" && v.valueBias) add(block("v.apart"), d);
    }
    linear(block("out"), d, d, v.outBias);
    if (v.layerScale) add(block("scale1"), d);
    norm(block("norm2"));
    if (v.mlp === "packed") {
      linear(block("packed"), d, 2 * hidden, v.mlpBias);
      linear(block("packedDown"), hidden, d, v.mlpBias);
    } else {
      if (v.mlp === "gated") linear(block("gate"), d, hidden, v.mlpBias);
      linear(block(v.mlp === "gated" ? "value" : "up"), d, hidden, v.mlpBias);
      linear(block("down"), hidden, d, v.mlpBias);
    }
    if (v.mlpNorm) {
      add(block("mlpNorm.weight"), hidden);
      add(block("mlpNorm.bias"), hidden);
    }
    if (v.layerScale) add(block("scale2"), d);
  }
  norm(finalNormPart(v));
  const pool = v.attentionPool;
  if (pool) {
    add("pool.query", d);
    if (pool.qkv === "fused") linear("pool.qkv", d, 3 * d);
    else {
      linear("pool.q", d, d);
      linear("pool.kv", d, 2 * d);
    }
    linear("pool.out", d, d);
    norm("pool.norm");
    linear("pool.up", d, pool.hidden);
    linear("pool.down", pool.hidden, d);
  }
  if (v.pooler !== undefined) {
    list.push({ part: "pooler.weight", shape: [v.pooler, d], optional: true });
    list.push({ part: "pooler.bias", shape: [v.pooler], optional: true });
  }
  if (v.projection) {
    const { size, required } = v.projection;
    list.push({ part: "projection.weight", shape: [size, d], optional: !required });
  }
  return list;
}

/** The last layer normalization: files name the one of a pooled vector apart. */
export function finalNormPart(v: VisionTransformer): "norm" | "pooledNorm" {
  return v.finalNorm === "pooled" ? "pooledNorm" : "norm";
}

/**
 * Finds every tensor of a description in the files and checks its shape.
 * @throws ModelError naming the tensors that are missing, of another shape, of integers, or not expected
 */
export function matchWeights(v: VisionTransformer, names: NameMap, files: WeightFiles): Weights {
  const { tensors } = files;
  const fitting = (candidates: readonly string[], name: (candidate: string) => string) =>
    candidates.find((candidate) => tensors.has(name(candidate))) ?? candidates[0];
  const prefix = fitting(names.prefixes, (p) => `${p}${named(names.parts, "patch.weight")}`);
  const norm1 = named(names.blockParts, "norm1.weight");
  const block = fitting(names.blocks, (b) => `${prefix}${b.replace("{}", "0")}${norm1}`);

  const found = new Map<string, string>();
  const problems: string[] = [];
  for (const { part, shape, optional = false } of parametersOf(v)) {
    const [, index, rest] = /^blocks\.(\d+)\.(.*)$/.exec(part) ?? [];
    const own =
      index === undefined || rest === undefined
        ? named(names.parts, part)
        : `${block.replace("{}", index)}${named(names.blockParts, rest)}`;
    // Heads stand beside the tower that they read in some files.
    const name = tensors.has(`${prefix}${own}`) || !tensors.has(own) ? `${prefix}${own}` : own;
    const tensor = tensors.get(name);
    if (tensor === undefined) {
      if (!optional) problems.push(`"${name}" is missing (expected [${shape.join(", ")}])`);
      continue;
    }
    found.set(part, name);
    if (String(squeezed(tensor.shape)) !== String(squeezed(shape)))
      problems.push(`"${name}" has shape [${tensor.shape.join(", ")}], expected [${shape.join(", ")}]`);
    else if (!isFloat(tensor.dtype)) problems.push(`"${name}" is of type ${tensor.dtype}, expected floats`);
  }
  const used = new Set(found.values());
  const ignored = (name: string): boolean => {
    const own = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const inBlock = /^\D*\d+\.(.*)$/.exec(own)?.[1];
    return names.ignored.some(
      (start) => name.startsWith(start) || own.startsWith(start) || inBlock?.startsWith(start) === true,
    );
  };
  for (const name of tensors.keys()) {
    if (!used.has(name) && !ignored(name)) problems.push(`"${name}" is not expected`);
  }
  if (problems.length > 0) {
    const shown = problems.slice(0, 8).join("; ");
    const more = problems.length > 8 ? `; and ${problems.length - 8} more` : "";
    throw new ModelError(
      `${files.where} does not hold the weights that its config.json describes (${v.family}: ${v.depth} blocks of ` +
        `width ${v.width}, ${prefixTokens(v)} prefix tokens, patches of ${v.patch}): ${shown}${more}. ` +
        "Take config.json and the weights from the same model.",
    );
  }
  return {
    has: (part) => found.has(part),
    floats(part) {
      const name = found.get(part);
      if (name === undefined) throw new Error(`the weights have no part ${part}`);
      return files.floats(name);
    },
  };
}

/** The name of a part: in full, or that of what its weight and bias belong to. */
function named(parts: Readonly<Record<string, string>>, part: string): string {
  const whole = parts[part];
  if (whole !== undefined) return whole;
  const dot = part.lastIndexOf(".");
  const owner = dot < 0 ? undefined : parts[part.slice(0, dot)];
  if (owner === undefined) throw new Error(`this layout of names has no part ${part}`);
  return `${owner}${part.slice(dot)}`;
}

function squeezed(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((d) => d !== 1);
  return first < 0 ? [] : shape.slice(first);
}
