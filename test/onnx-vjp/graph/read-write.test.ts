import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  TensorProto_DataLocation as DataLocation,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataType as Type,
  TypeProto_SequenceSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../../src/errors.ts";
import { emptyGraph, GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf, float32Of, numbersOf } from "../../../src/onnx-vjp/graph/constant.ts";
import {
  type Attributes,
  bytesPerElement,
  type DataType,
  type Graph,
  int,
} from "../../../src/onnx-vjp/graph/ir.ts";
import { type ReadExternal, readOnnx } from "../../../src/onnx-vjp/graph/read-onnx.ts";
import { writeOnnx } from "../../../src/onnx-vjp/graph/write-onnx.ts";

const bytesOf = (graph: Graph) => writeOnnx(graph).model;

/** A model of one Identity node with the given initializers. */
function modelWith(initializer: TensorProto[], opset = 17n): Uint8Array {
  const node = create(NodeProtoSchema, { opType: "Identity", input: ["x"], output: ["y"] });
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [create(OperatorSetIdProtoSchema, { version: opset })],
      graph: create(GraphProtoSchema, { name: "g", node: [node], initializer }),
    }),
  );
}

/** A graph with an attribute of every kind, a body, symbolic and unknown dims, an absent input. */
function everything(): Graph {
  const inner = new GraphBuilder({ ...emptyGraph("body"), opset: 17 });
  inner.output(inner.op("Add", ["x", inner.scalar(2)]), { dims: [] });
  const attributes: Attributes = {
    an_int: int(-3),
    large: int(2 ** 53),
    a_float: { kind: "float", value: Math.fround(0.1) },
    a_string: { kind: "string", value: "größer" },
    some_ints: { kind: "ints", value: [1, -2, 3] },
    no_ints: { kind: "ints", value: [] },
    some_floats: { kind: "floats", value: [0.5, -1.5] },
    some_strings: { kind: "strings", value: ["a", "", "c"] },
    a_tensor: { kind: "tensor", value: constantOf("int8", [2, 2], [1, -2, 3, -4]) },
    a_graph: { kind: "graph", value: inner.graph },
  };
  return {
    name: "g",
    opset: 17,
    inputs: [{ name: "x", dtype: "float16", dims: ["batch", 3, "", 4] }],
    outputs: [{ name: "y", dtype: "int64", dims: [] }],
    nodes: [
      { op: "Odd", domain: "com.example", name: "n", inputs: ["x", "", "w"], outputs: ["", "y"], attributes },
    ],
    constants: new Map([["w", constantOf("float32", [2], [1, 2])]]),
  };
}

describe("writing and reading a graph", () => {
  it("gives the same graph, whatever its attributes, dims and bodies", async () => {
    const graph = everything();
    expect(await readOnnx(bytesOf(graph), "g.onnx")).toEqual(graph);
  });

  const dtypes = Object.keys(bytesPerElement).filter((d) => d !== "string" && d !== "bfloat16") as DataType[];
  it.each(dtypes)("keeps constants of %s", async (dtype) => {
    const values = dtype === "bool" ? [0, 1, 1] : dtype.startsWith("u") ? [0, 1, 200] : [0, 1, -100];
    const graph = everything();
    graph.constants.set("c", constantOf(dtype, [3], values));
    const read = await readOnnx(bytesOf(graph), "g.onnx");
    expect(Array.from(numbersOf(read.constants.get("c")!))).toEqual(values);
  });

  it("keeps large constants out of the protobuf where asked, and finds them again", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 40 }),
        async (values) => {
          const graph = everything();
          // A view that begins at an odd byte, as those of a file do.
          const whole = new Uint8Array(values.length * 4 + 1);
          whole.set(constantOf("float32", [values.length], values).bytes, 1);
          graph.constants.set("big", { dtype: "float32", dims: [values.length], bytes: whole.subarray(1) });
          const { model, external } = writeOnnx(graph, { externalFrom: 64 });
          expect(external.length).toBe(values.length >= 16 ? 1 : 0);
          const readExternal: ReadExternal = async (location, offset, length) => {
            const file = external.find((e) => e.path === location)!;
            return file.data.subarray(offset, length === undefined ? undefined : offset + length);
          };
          const read = await readOnnx(model, "g.onnx", readExternal);
          expect(Array.from(float32Of(read.constants.get("big")!))).toEqual(values);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe("reading constants as other writers store them", () => {
  const typed: { title: string; type: Type; fields: object; expected: number[] }[] = [
    { title: "float_data", type: Type.FLOAT, fields: { floatData: [1.5, -2] }, expected: [1.5, -2] },
    { title: "double_data", type: Type.DOUBLE, fields: { doubleData: [0.1, -2] }, expected: [0.1, -2] },
    { title: "int64_data", type: Type.INT64, fields: { int64Data: [5n, -7n] }, expected: [5, -7] },
    { title: "uint64_data", type: Type.UINT64, fields: { uint64Data: [5n, 7n] }, expected: [5, 7] },
    {
      title: "uint32 in uint64_data",
      type: Type.UINT32,
      fields: { uint64Data: [5n, 4294967295n] },
      expected: [5, 4294967295],
    },
    { title: "int32_data", type: Type.INT32, fields: { int32Data: [5, -7] }, expected: [5, -7] },
    { title: "int8 in int32_data", type: Type.INT8, fields: { int32Data: [5, -7] }, expected: [5, -7] },
    { title: "uint8 in int32_data", type: Type.UINT8, fields: { int32Data: [5, 250] }, expected: [5, 250] },
    { title: "bool in int32_data", type: Type.BOOL, fields: { int32Data: [1, 0] }, expected: [1, 0] },
    {
      title: "float16 as bits in int32_data",
      type: Type.FLOAT16,
      fields: { int32Data: [0x3c00, 0xc100] },
      expected: [1, -2.5],
    },
    {
      title: "bfloat16 as bits in int32_data",
      type: Type.BFLOAT16,
      fields: { int32Data: [0x3f80, 0xc020] },
      expected: [1, -2.5],
    },
  ];
  it.each(typed)("$title", async ({ type, fields, expected }) => {
    const tensor = create(TensorProtoSchema, { name: "w", dims: [2n], dataType: type, ...fields });
    const graph = await readOnnx(modelWith([tensor]), "g.onnx");
    expect(Array.from(numbersOf(graph.constants.get("w")!))).toEqual(expected);
  });

  it("Constant nodes become constants, in each of their forms", async () => {
    const b = new GraphBuilder({ ...emptyGraph(), opset: 13 });
    const x = b.input("x", [1]);
    b.output(b.op("Add", [x, x]), { dims: [1] });
    const forms: Record<string, Attributes[string]> = {
      value: { kind: "tensor", value: constantOf("int32", [2], [4, 5]) },
      value_float: { kind: "float", value: 1.5 },
      value_int: { kind: "int", value: -2 },
      value_floats: { kind: "floats", value: [0.5, 2] },
      value_ints: { kind: "ints", value: [3, 4] },
    };
    for (const [key, value] of Object.entries(forms)) {
      b.graph.nodes.push({
        op: "Constant",
        domain: "",
        name: key,
        inputs: [],
        outputs: [key],
        attributes: { [key]: value },
      });
    }
    const read = await readOnnx(bytesOf(b.graph), "g.onnx");
    const values = Object.fromEntries(
      [...read.constants].map(([name, c]) => [name, [c.dtype, c.dims, ...numbersOf(c)]]),
    );
    expect(values).toEqual({
      value: ["int32", [2], 4, 5],
      value_float: ["float32", [], 1.5],
      value_int: ["int64", [], -2],
      value_floats: ["float32", [2], 0.5, 2],
      value_ints: ["int64", [2], 3, 4],
    });
    expect(read.nodes.map((n) => n.op)).toEqual(["Add"]);
  });

  it("nodes in any order come out in one that can be run", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.nat()),
        async (edges, random) => {
          const b = new GraphBuilder();
          const values = [b.input("v0", [1])];
          for (const [k, [i, j]] of edges.entries()) {
            values.push(b.named("Add", [values[i % (k + 1)], values[j % (k + 1)]], `v${k + 1}`));
          }
          b.output(values.at(-1)!, { dims: [1] });
          const sorted = [...b.graph.nodes];
          const keys = new Map(sorted.map((node) => [node, random.next().value as number]));
          b.graph.nodes.sort((x, y) => keys.get(x)! - keys.get(y)!);
          const read = await readOnnx(bytesOf(b.graph), "g.onnx");
          expect(new Set(read.nodes)).toEqual(new Set(sorted));
          const seen = new Set(["v0"]);
          for (const node of read.nodes) {
            for (const input of node.inputs) expect(seen).toContain(input);
            for (const output of node.outputs) seen.add(output);
          }
          // What is in order stays as it is.
          const again = await readOnnx(bytesOf({ ...b.graph, nodes: sorted }), "g.onnx");
          expect(again.nodes).toEqual(sorted);
        },
      ),
      { numRuns: 20 },
    );
  });

  it("initializers that are listed among the inputs are no inputs", async () => {
    const graph = everything();
    graph.inputs.push({ name: "w", dtype: "float32", dims: [2] });
    const read = await readOnnx(bytesOf(graph), "g.onnx");
    expect(read.inputs.map((i) => i.name)).toEqual(["x"]);
  });
});

describe("files that cannot be read are refused with what to do", () => {
  const refused = async (bytes: Uint8Array, message: RegExp, readExternal?: ReadExternal) => {
    const reading = readOnnx(bytes, "model.onnx", readExternal);
    await expect(reading).rejects.toThrow(ModelError);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toThrow(/^model\.onnx/);
  };
  const weight = (fields: object) =>
    create(TensorProtoSchema, { name: "w", dims: [2n], dataType: Type.FLOAT, ...fields });

  it("a file that is no protobuf", () =>
    refused(new TextEncoder().encode("<html>404</html>"), /not a readable ONNX model|not an ONNX model/));
  it("an empty file", () => refused(new Uint8Array(), /holds no graph/));
  it("a PNG image", () =>
    refused(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13), /ONNX model/));
  it("a file that was cut off anywhere", async () => {
    const graph = everything();
    graph.constants.set("big", constantOf("float32", [256], new Float32Array(256)));
    const whole = bytesOf(graph);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: whole.length - 1 }), async (length) => {
        const reading = readOnnx(whole.subarray(0, length), "model.onnx");
        // A cut between two fields of the outermost message leaves a smaller message; it must still be whole.
        const read = await reading.catch((error: unknown) => error);
        if (read instanceof Error) expect(read).toBeInstanceOf(ModelError);
        else expect(read).toEqual(graph);
      }),
      { numRuns: 60 },
    );
  });
  it("an operator set that is too old", () => refused(modelWith([], 6n), /opset 6; 7 to 24 are read/));
  it("an operator set that is too new", () => refused(modelWith([], 99n), /opset 99/));
  it("a weight with too few bytes", () =>
    refused(
      modelWith([weight({ rawData: new Uint8Array(7) })]),
      /"w".*needs 8 bytes and has 7.*damaged or truncated/,
    ));
  it("a weight with too few numbers", () =>
    refused(modelWith([weight({ floatData: [1] })]), /"w".*holds 1 numbers/));
  it("a weight of a type that is not read", () =>
    refused(modelWith([weight({ dataType: Type.COMPLEX64 })]), /"w" has ONNX element type 14/));

  const external = weight({
    dataLocation: DataLocation.EXTERNAL,
    externalData: [create(StringStringEntryProtoSchema, { key: "location", value: "weights.bin" })],
  });
  it("external data without the second file", () =>
    refused(modelWith([external]), /second file \("weights.bin"\), which was not given/));
  it("external data that ends early", () =>
    refused(modelWith([external]), /needs 8 bytes and has 3/, async () => new Uint8Array(3)));

  it("nodes that read each other in a circle", () => {
    const b = new GraphBuilder();
    const x = b.input("x", [1]);
    b.named("Add", [x, "b"], "a");
    b.named("Neg", ["a"], "b");
    b.output("b", { dims: [1] });
    return refused(bytesOf(b.graph), /in a circle \((Add|Neg) /);
  });

  it("a model on something else than tensors", () => {
    const type = create(TypeProtoSchema, {
      value: { case: "sequenceType", value: create(TypeProto_SequenceSchema) },
    });
    const graph = create(GraphProtoSchema, {
      node: [create(NodeProtoSchema, { opType: "Identity", input: ["x"], output: ["y"] })],
      input: [create(ValueInfoProtoSchema, { name: "x", type })],
    });
    const model = create(ModelProtoSchema, {
      opsetImport: [create(OperatorSetIdProtoSchema, { version: 17n })],
      graph,
    });
    return refused(toBinary(ModelProtoSchema, model), /"x" is not a tensor/);
  });
});
