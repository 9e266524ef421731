import { spawn } from "node:child_process";
import type { Command } from "commander";
import { copyApp, serveApp } from "./app-server.ts";
import { addCommonOptions, ownOption } from "./options.ts";
import { integer } from "./parse.ts";
import { print } from "./terminal.ts";

/** Always the same: a browser keeps projects for the address they were made at. */
const usualPort = 4810;

interface AppOptions {
  readonly port: number;
  readonly open: boolean;
  readonly copyTo?: string;
}

export function addApp(command: Command): void {
  const page = "Page:";
  command
    .description(
      "Opens a page that gathers images by drop, file or camera, answers after each of them, distills them and gives the " +
        "set to take away. It computes in the browser: no image leaves it. Serves it until Ctrl+C.",
    )
    .addOption(
      ownOption("--port <number>", "port on this machine; 0: any that is free", page)
        .argParser(integer(0))
        .default(usualPort),
    )
    .addOption(ownOption("--no-open", "do not open a browser", page))
    .addOption(
      ownOption(
        "--copy-to <folder>",
        "copy the page there instead, for any web server: a folder of static files",
        page,
      ),
    );
  addCommonOptions(command);
  command.action(async ({ port, open, copyTo }: AppOptions) => {
    if (copyTo !== undefined) {
      await copyApp(copyTo);
      print(`The page is in ${copyTo}. Any web server can serve it, by https.\n`);
      return;
    }
    const server = await serveApp(port);
    print(`The page is at ${server.url} until Ctrl+C.\n`);
    if (open) openBrowser(server.url);
    await new Promise<void>((resolve) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, resolve);
    });
    await server.close();
  });
}

/** Where there is none to open, the address was printed. */
function openBrowser(url: string): void {
  const [program, ...args] =
    process.platform === "darwin"
      ? ["open", url]
      : process.platform === "win32"
        ? ["cmd", "/c", "start", "", url]
        : ["xdg-open", url];
  const child = spawn(program!, args, { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}
