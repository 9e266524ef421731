import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { help } from "../../src/cli/help.ts";
import { addSettings, givenSettings } from "../../src/cli/setting-options.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { withPreset } from "../../src/recipe/presets.ts";

const commandOf = (...args: string[]): Command => {
  const command = new Command("x").exitOverride().configureHelp(help);
  command.configureOutput({ writeErr: () => {} });
  addSettings(command);
  return command.parse(args, { from: "user" });
};
const given = (...args: string[]) => givenSettings(commandOf(...args));
const complete = (config: Partial<DistillConfig>) => DistillConfig.parse(withPreset(undefined, config));

describe("options of the settings", () => {
  it("are those of the configuration, each with its text and default", () => {
    const text = commandOf().helpInformation().replace(/\s+/g, " ");
    for (const [setting, schema] of Object.entries(DistillConfig.shape)) {
      expect(text, setting).toContain(schema.meta()?.description?.replace(/ \(default: .*/, ""));
    }
    expect(text).toContain("--lr <x> Adam's learning rate (default: 0.1)");
    expect(text).toContain("(clp, clp-mse, lgm, sfm; default: clp)");
  });

  it("give nothing where none is given, so that presets hold", () => {
    expect(given()).toEqual({});
  });

  it("are read as the settings they are named after", () => {
    expect(
      given(
        "--lr",
        "0.5",
        "--batch",
        "9",
        "--normalize",
        "l2,none",
        "--no-mirror",
        "--augment",
        "--seed",
        "-3",
      ),
    ).toEqual({
      learningRate: 0.5,
      batchSize: 9,
      normalize: ["l2", "none"],
      mirror: false,
      augment: 1,
      seed: -3,
    });
    expect(given("--augment", "4", "--mirror", "--learn-labels", "--ridge", "per-view")).toEqual({
      augment: 4,
      mirror: true,
      learnLabels: true,
      ridge: "per-view",
    });
  });

  it.each(Object.entries(complete({})).filter(([, value]) => typeof value !== "boolean"))(
    "change nothing where %s is given as it is by default",
    (setting, value) => {
      const flag = { learningRate: "lr", batchSize: "batch" }[setting] ?? setting;
      const option = `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      const config = given(option, String(value));
      expect(config).toEqual({ [setting]: value });
      expect(complete(config)).toEqual(complete({}));
    },
  );

  it.each([
    [["--lambda", "0"], /Expected a number above 0/],
    [["--ipc", "1.5"], /Expected a whole number of at least 1/],
    [["--low-pass", "2"], /Expected a number of at least 0 and of at most 1/],
    [["--crop-area", ""], /Expected a number above 0 and of at most 1/],
    [["--seed", "x"], /Expected a whole number\./],
    [["--normalize", "l2,whiten"], /Expected some of none, l2/],
    [["--anchors", "curved"], /raw, cosine/],
  ])("refuse %j and say what is expected", (args, message) => {
    expect(() => commandOf(...args)).toThrow(message);
  });
});
