import { type Activations, compileDerivative, type Differentiable, letGo } from "./compile/differentiable.ts";
import { forwardSession } from "./compile/forward-session.ts";
import { type Coverage, coverageOf } from "./coverage.ts";
import { UsageError } from "./errors.ts";
import type { DataType, TensorType } from "./graph/ir.ts";
import type { Device, Feeds, Precision, Runtime, Session } from "./graph/runtime.ts";
import { type FunctionOptions, type ModelFunction, readFunction } from "./model-function.ts";
import { nodeRuntime } from "./runtime/node.ts";
import { planReached, prepareFunction, requireFit, type Shapes, staticShapes } from "./shapes.ts";
import {
  type FloatTensor,
  fromTensor,
  isFloat,
  type TensorLike,
  toNumbers,
  toTensor,
  zerosOf,
} from "./tensors.ts";
import { type WriteVjpOptions, type WrittenVjp, writeVjp } from "./write-vjp.ts";

export interface LoadOptions extends FunctionOptions {
  /** Where the model runs (default: "cpu"). */
  readonly device?: Device | undefined;
  /** Threads within an operator (default: one per core). */
  readonly threads?: number | undefined;
  /** Bytes that its values may take while it is prepared (default: a quarter of the machine's memory). */
  readonly memoryBytes?: number | undefined;
  /** What matrix products are computed in: "float16" is for GPUs (default: "float32"). */
  readonly precision?: Precision | undefined;
  /**
   * Whether `vjp` keeps the intermediate values that the pullback reads ("save"), or the pullback computes them again
   * ("recompute": half as much memory, half as much time again). Default: "save", and "recompute" on CUDA.
   */
  readonly activations?: Activations | undefined;
}

/** An input of a model: a dimension is a number, or the name that the file gives to one that it leaves open. */
export interface InputInfo {
  readonly name: string;
  readonly dtype: DataType;
  readonly dims: readonly (number | string)[];
}

/** Tensors by the names of the model's inputs. */
export type Inputs = Readonly<Record<string, TensorLike>>;
/** Tensors by the names of inputs or outputs. */
export type FloatTensors = Readonly<Record<string, FloatTensor>>;
/** A cotangent: of the model's only output, or one for each output by its name (no entry: zeros). */
export type Cotangent =
  | FloatTensor
  | ArrayLike<number>
  | Readonly<Record<string, FloatTensor | ArrayLike<number>>>;

/** The value of a function at some inputs, and its pullback there. */
export interface Vjp {
  /** The model's output; of several, the first. */
  readonly output: FloatTensor;
  /** All outputs by name. */
  readonly outputs: FloatTensors;
  /**
   * The vector–Jacobian product: the gradients of Σ ⟨cotangent, output⟩ with respect to the differentiated inputs, by
   * their names. May be called any number of times.
   * @throws ShapeError for a cotangent that is not of its output's shape
   */
  vjp(cotangent: Cotangent): Promise<FloatTensors>;
  /** Lets go of the intermediate values, which on a GPU hold memory that JavaScript does not see. */
  release(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Loads a model to be differentiated: a path to an .onnx file, with its external data beside it, or the file's bytes.
 * Nothing runs yet.
 * @throws ModelError when it cannot be read; UsageError for names that it does not have
 */
export async function load(model: string | URL | Uint8Array, options: LoadOptions = {}): Promise<Model> {
  const { device = "cpu", threads, memoryBytes, precision = "float32", activations } = options;
  if (precision === "float16" && device === "cpu") {
    throw new UsageError(
      'precision "float16" was given with the device "cpu", on which it is slower than float32. Leave it out, or give ' +
        'device "cuda" or "webgpu".',
    );
  }
  const runtime = nodeRuntime({ device, threads, memoryBytes });
  const how = activations ?? (runtime.handsOver ? "save" : "recompute");
  return new Model(runtime, await readFunction(model, options), precision, how);
}

/** A function of a model's inputs that can be run and differentiated. Shapes are those of the tensors that it is given. */
export class Model {
  /** The inputs that it takes. */
  readonly inputs: readonly InputInfo[];
  /** Names of the inputs that it is differentiated with respect to. */
  readonly wrt: readonly string[];
  /** Names of its outputs. */
  readonly outputs: readonly string[];
  readonly #runtime: Runtime;
  readonly #function: ModelFunction;
  readonly #precision: Precision;
  readonly #activations: Activations;
  /** What was compiled, by the shapes that it is for. */
  readonly #derivatives = new Map<string, Promise<Differentiable>>();
  readonly #forwards = new Map<string, Promise<Session>>();

  /** Made by `load`. */
  constructor(runtime: Runtime, f: ModelFunction, precision: Precision, activations: Activations) {
    this.#runtime = runtime;
    this.#function = f;
    this.#precision = precision;
    this.#activations = activations;
    // Models of half precision are run in float32.
    const given = (dtype: DataType) => (dtype === "float16" || dtype === "bfloat16" ? "float32" : dtype);
    this.inputs = f.graph.inputs.map((input) => ({ ...input, dtype: given(input.dtype) }));
    this.wrt = f.wrt;
    this.outputs = f.of;
  }

  /** The outputs by name, without a gradient. */
  async run(inputs: Inputs): Promise<FloatTensors> {
    const { feeds, shapes } = this.#feeds(inputs);
    const session = await remembered(this.#forwards, shapes, async () =>
      forwardSession(
        this.#runtime,
        await prepareFunction(this.#runtime, this.#function, shapes),
        this.#precision,
      ),
    );
    const results = await session.run(only(feeds, session), { only: this.outputs });
    return mapped(this.outputs, (name) => fromTensor(results[name]));
  }

  /**
   * The outputs, and the function that pulls a cotangent of them back to the inputs. The first call at some shapes
   * compiles the model for them.
   * @throws NoRuleError naming every node on the way that has no pullback rule
   * @throws UnreachedInputError when no output depends on any of the differentiated inputs
   * @throws UsageError, ShapeError for inputs that the model does not take
   */
  async vjp(inputs: Inputs): Promise<Vjp> {
    const { feeds, shapes } = this.#feeds(inputs);
    const f = await remembered(this.#derivatives, shapes, async () => {
      const graph = await prepareFunction(this.#runtime, this.#function, shapes);
      requireFloats(graph.types, this.outputs);
      const plan = planReached(graph, this.#function);
      return compileDerivative(this.#runtime, plan, this.#activations, { precision: this.#precision });
    });
    const { values, saved } = await f.forward(feeds);
    const outputs = mapped(this.outputs, (name) => fromTensor(values[name], name in saved));
    const release = () => letGo(saved);
    return {
      output: outputs[this.outputs[0]!],
      outputs,
      vjp: async (cotangent) => {
        const gradients = await f.pullback(feeds, saved, cotangentsOf(cotangent, f.outputs));
        return mapped(this.wrt, (name) => {
          const data = gradients[name];
          const type = { dtype: feeds[name].type as DataType, dims: shapes[name] };
          return data === undefined ? zerosOf(type) : { dims: type.dims, data };
        });
      },
      release,
      async [Symbol.asyncDispose]() {
        release();
      },
    };
  }

  /**
   * The value of a function whose output is one number, and its gradients with respect to the differentiated inputs.
   * @throws UsageError for a function of several outputs, or of more than one number
   */
  async grad(inputs: Inputs): Promise<{ value: number; gradients: FloatTensors }> {
    const { output, outputs, vjp, release } = await this.vjp(inputs);
    try {
      if (Object.keys(outputs).length > 1 || output.data.length !== 1) {
        const shown = Object.entries(outputs).map(([name, { dims }]) => `"${name}" [${dims.join(", ")}]`);
        throw new UsageError(
          `grad needs a single output of one number; the model gives ${shown.join(", ")}. ` +
            "Choose one with the option `output`, or use vjp with a cotangent.",
        );
      }
      return { value: output.data[0], gradients: await vjp([1]) };
    } finally {
      release();
    }
  }

  /** What can be differentiated, at the shapes that the model declares or those given (an open first dimension: 1). */
  async coverage(shapes?: Shapes): Promise<Coverage> {
    return coverageOf(this.#runtime, this.#function, staticShapes(this.#function, shapes));
  }

  /** Writes forward.onnx and pullback.onnx for any runtime into `folder`: see `writeVjp`. */
  async write(folder: string, options: WriteVjpOptions = {}): Promise<WrittenVjp> {
    return writeVjp(this.#runtime, this.#function, folder, options);
  }

  /** Frees the native memory of what was compiled. Asked again, the model compiles again. */
  async release(): Promise<void> {
    const made = [...this.#derivatives.values(), ...this.#forwards.values()];
    this.#derivatives.clear();
    this.#forwards.clear();
    for (const session of made) await session.then((s) => s.release());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** The inputs as ONNX Runtime takes them, and their shapes. */
  #feeds(inputs: Inputs): { feeds: Feeds; shapes: Shapes } {
    const missing = this.inputs.find(({ name }) => inputs[name] === undefined);
    const unknown = Object.keys(inputs).find((name) => !this.inputs.some((input) => input.name === name));
    if (missing !== undefined || unknown !== undefined) {
      const given = Object.keys(inputs).map((name) => `"${name}"`);
      throw new UsageError(
        `The model takes ${this.inputs.map(({ name }) => `"${name}"`).join(", ")}; given were ` +
          `${given.length === 0 ? "no tensors" : given.join(", ")}.`,
      );
    }
    const shapes = mapped(
      this.inputs.map(({ name }) => name),
      (name) => [...inputs[name].dims],
    );
    requireFit(this.#function.graph, shapes);
    const feeds = this.inputs.map(({ name, dtype }) => [name, toTensor(name, dtype, inputs[name])] as const);
    return { feeds: Object.fromEntries(feeds), shapes };
  }
}

const mapped = <T>(names: readonly string[], of: (name: string) => T): Record<string, T> =>
  Object.fromEntries(names.map((name) => [name, of(name)]));

const only = (feeds: Feeds, session: Session): Feeds =>
  Object.fromEntries(Object.entries(feeds).filter(([name]) => session.graph.inputs.includes(name)));

/** What was made for the same shapes before, else what `make` makes; a failure is not remembered. */
function remembered<T>(known: Map<string, Promise<T>>, shapes: Shapes, make: () => Promise<T>): Promise<T> {
  const key = JSON.stringify(shapes);
  const before = known.get(key);
  if (before !== undefined) return before;
  const made = make();
  known.set(key, made);
  made.catch(() => known.delete(key));
  return made;
}

/** @throws UsageError for outputs that have no gradient */
function requireFloats(types: ReadonlyMap<string, TensorType>, outputs: readonly string[]): void {
  const other = outputs.find((name) => !isFloat(types.get(name)!.dtype));
  if (other === undefined) return;
  throw new UsageError(
    `The output "${other}" is ${types.get(other)!.dtype}, which has no gradient. Choose one of floating-point numbers.`,
  );
}

/** The numbers of the cotangents by output. */
function cotangentsOf(cotangent: Cotangent, outputs: ReadonlyMap<string, TensorType>) {
  const [first] = outputs.keys();
  const isOne = "length" in cotangent || ("data" in cotangent && "dims" in cotangent);
  const given = (isOne ? { [first!]: cotangent } : cotangent) as Readonly<
    Record<string, FloatTensor | ArrayLike<number>>
  >;
  const names = [...outputs.keys()].map((name) => `"${name}"`).join(", ");
  if (isOne && outputs.size > 1) {
    throw new UsageError(`The model has the outputs ${names}: give their cotangents by name.`);
  }
  const unknown = Object.keys(given).find((name) => !outputs.has(name));
  if (unknown !== undefined) {
    throw new UsageError(`A cotangent was given for "${unknown}"; the model's outputs are ${names}.`);
  }
  return mapped([...outputs.keys()], (name) => {
    const type = outputs.get(name)!;
    const one = given[name];
    return one === undefined ? zerosOf(type).data : toNumbers(name, type, one);
  });
}
