import type { GraphBuilder } from "../graph/builder.ts";
import { protoOfDataType } from "../graph/data-type.ts";
import { type DataType, int } from "../graph/ir.ts";

/** A value's name, or a number that becomes a scalar constant of the right element type. */
export type Operand = string | number;

/** The arithmetic that rules write, one node a call. */
export interface Arithmetic {
  /** A scalar constant of the cotangent's element type. */
  scalar(value: number): string;
  add(x: Operand, y: Operand): string;
  sub(x: Operand, y: Operand): string;
  mul(x: Operand, y: Operand): string;
  div(x: Operand, y: Operand): string;
  pow(x: Operand, y: Operand): string;
  neg(x: Operand): string;
  sqrt(x: Operand): string;
  floor(x: Operand): string;
  exp(x: Operand): string;
  log(x: Operand): string;
  sin(x: Operand): string;
  cos(x: Operand): string;
  tanh(x: Operand): string;
  sigmoid(x: Operand): string;
  softplus(x: Operand): string;
  abs(x: Operand): string;
  greater(x: Operand, y: Operand): string;
  less(x: Operand, y: Operand): string;
  equal(x: Operand, y: Operand): string;
  and(x: string, y: string): string;
  where(condition: string, yes: Operand, no: Operand): string;
  /** A boolean (or number) as 0 or 1 of the cotangent's element type. */
  float(x: string): string;
  /** x where `mask` holds, 0 elsewhere, for finite x: on the CPU in a third of Where's time. */
  masked(x: string, mask: string): string;
}

/** The arithmetic of element type `dtype` on builder `b`. */
export function arithmetic(b: GraphBuilder, dtype: DataType): Arithmetic {
  const name = (x: Operand) => (typeof x === "number" ? b.scalar(x, dtype) : x);
  const unary = (op: string) => (x: Operand) => b.op(op, [name(x)]);
  const binary = (op: string) => (x: Operand, y: Operand) => b.op(op, [name(x), name(y)]);
  const float = (x: string) => b.op("Cast", [x], { to: int(protoOfDataType(dtype)) });
  return {
    scalar: (value) => b.scalar(value, dtype),
    add: binary("Add"),
    sub: binary("Sub"),
    mul: binary("Mul"),
    div: binary("Div"),
    pow: binary("Pow"),
    neg: unary("Neg"),
    sqrt: unary("Sqrt"),
    floor: unary("Floor"),
    exp: unary("Exp"),
    log: unary("Log"),
    sin: unary("Sin"),
    cos: unary("Cos"),
    tanh: unary("Tanh"),
    sigmoid: unary("Sigmoid"),
    softplus: unary("Softplus"),
    abs: unary("Abs"),
    greater: binary("Greater"),
    less: binary("Less"),
    equal: binary("Equal"),
    and: binary("And"),
    where: (condition, yes, no) => b.op("Where", [condition, name(yes), name(no)]),
    float,
    masked: (x, mask) => b.op("Mul", [x, float(mask)]),
  };
}
