/** Cheap element-wise operators that rules write masks and slopes of activations with. */
export const cheapElementwise: ReadonlySet<string> = new Set([
  ...["Greater", "Less", "Equal", "And", "Add", "Sub", "Mul", "Div"],
  ...["Neg", "Abs", "HardSigmoid", "Where", "Cast"],
]);

/**
 * Operators that read and write memory and compute next to nothing: repeating them in the pullback costs about as much as
 * reading their saved result would.
 */
export const cheap: ReadonlySet<string> = new Set([
  ...cheapElementwise,
  ...["Sqrt", "Reciprocal", "Relu", "Clip", "LeakyRelu", "HardSwish", "Sign", "Min", "Max"],
  ...["GreaterOrEqual", "LessOrEqual", "Not", "Or"],
  ...["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Transpose"],
  ...["Concat", "Split", "Slice", "Gather", "Pad"],
]);
