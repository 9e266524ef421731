import type { Command } from "commander";
import { userHub } from "../files/hub/settings.ts";
import { addCommonOptions, type CommonOptions, ownOption } from "./options.ts";
import { runJob } from "./run.ts";
import { print, printJson } from "./terminal.ts";

interface PushOptions extends CommonOptions {
  readonly model?: boolean;
  readonly public?: boolean;
  readonly overwrite?: boolean;
}

export function addPush(command: Command): void {
  const group = "Hugging Face hub:";
  command
    .usage("<folder> <owner/name> [options]")
    .description(
      "Publishes a set as a data set of the Hugging Face hub, or with --model an exported classifier as a model. The repository is " +
        "made if need be, private unless --public is given; all files become one commit, so that a failed upload publishes " +
        "nothing. The token is HF_TOKEN or that of `hf auth login`, the hub HF_ENDPOINT.",
    )
    .argument("<folder>", "what `clp-dd distill`, `clp-dd baseline` or, with --model, `clp-dd export` wrote")
    .argument("<owner/name>", "the repository")
    .addOption(ownOption("--model", "the folder is an exported classifier", group))
    .addOption(ownOption("--public", "make it visible to everyone", group))
    .addOption(ownOption("--overwrite", "replace what the repository has already", group));
  addCommonOptions(command);
  command.action(async (folder: string, repository: string, options: PushOptions) => {
    const { model, public: isPublic, overwrite } = options;
    const params = { folder, repository, model, public: isPublic, overwrite, hub: userHub() };
    const published = await runJob("push", params, options);
    print(`${published.url} (${published.isPrivate ? "private" : "public"}), commit ${published.commit}\n`);
    if (options.json) printJson(published);
  });
}
