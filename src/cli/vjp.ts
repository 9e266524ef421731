import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { TensorInfo } from "../onnx-vjp/write-vjp.ts";
import { addCommonOptions, addOptions, type CommonOptions, ownOption } from "./options.ts";
import { makeFolder } from "./output-file.ts";
import { runJob } from "./run.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

interface VjpOptions extends CommonOptions {
  readonly out: string;
  readonly wrt?: readonly string[];
  readonly of?: readonly string[];
  readonly shape?: Readonly<Record<string, readonly number[]>>;
  readonly overwrite?: boolean;
  readonly memory?: number;
}

export function addVjp(command: Command): void {
  const gradient = "Gradient:";
  command
    .usage("<model> --out <folder> [options]")
    .description(
      "Writes forward.onnx, which gives a model's outputs and the intermediate values that its gradient needs, and " +
        "pullback.onnx, which takes those and a cotangent of each output and gives the gradients of the inputs. " +
        "vjp.json lists the names and shapes of all of them.",
    )
    .argument("<model>", "an .onnx file")
    .addOption(
      ownOption(
        "--wrt <input>",
        "input to differentiate with respect to; may be repeated (default: all)",
        gradient,
      ).argParser(several),
    )
    .addOption(
      ownOption(
        "--of <output>",
        "output, or any other tensor, to differentiate; may be repeated (default: all outputs)",
        gradient,
      ).argParser(several),
    )
    .addOption(
      ownOption(
        "--shape <input=dims>",
        "shape of an input that the model leaves open, such as x=1,3,224,224; may be repeated",
        gradient,
      ).argParser(shape),
    );
  addOptions(command, ["memory", "out", "overwrite"], {
    out: { required: true, text: "folder for the files" },
    overwrite: { text: "replace files that are there" },
  });
  addCommonOptions(command);
  command.action(async (model: string, options: VjpOptions) => {
    await makeFolder("--out", options.out);
    const { out, wrt, of, shape: shapes, overwrite, memory: memoryBytes } = options;
    const written = await runJob("vjp", { model, out, wrt, of, shapes, overwrite, memoryBytes }, options);
    const { forward, pullback } = written;
    const rows = (file: string, kind: string, tensors: readonly TensorInfo[]) =>
      tensors.map(({ name, dtype, dims }) => [file, kind, name, `${dtype} [${dims.join(", ")}]`]);
    const typeOf = new Map([...forward.inputs, ...pullback.inputs].map((info) => [info.name, info]));
    const gradients = Object.entries(pullback.gradients).map(([input, name]) => ({
      ...typeOf.get(input)!,
      name,
    }));
    const table = formatTable(
      ["file", "", "tensor", "type"],
      [
        ...rows(forward.file, "takes", forward.inputs),
        ...rows(forward.file, "gives", forward.outputs),
        ...rows(
          pullback.file,
          "takes",
          Object.values(pullback.cotangents).flatMap((n) => typeOf.get(n) ?? []),
        ),
        ...rows(pullback.file, "gives", gradients),
      ],
    );
    const count = forward.saved.length;
    print(
      `${table}\n${count} intermediate value${count === 1 ? "" : "s"} of ${forward.file} go to ${pullback.file} ` +
        `under the same name; ${join(out, "vjp.json")} lists them.\n`,
    );
    if (options.json) printJson(written);
  });
}

const several = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

function shape(
  value: string,
  before: Readonly<Record<string, readonly number[]>> = {},
): Readonly<Record<string, readonly number[]>> {
  const [, name, dims] = /^(.+)=([\d,]*)$/.exec(value) ?? [];
  const numbers = dims === undefined || dims === "" ? [] : dims.split(",").map(Number);
  if (name === undefined || !numbers.every((d) => Number.isInteger(d) && d > 0)) {
    throw new InvalidArgumentError("Expected an input's name and its dimensions, such as x=1,3,224,224.");
  }
  return { ...before, [name]: numbers };
}
