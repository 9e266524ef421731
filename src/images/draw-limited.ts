import { type ChildProcess, fork } from "node:child_process";
import { workerUrl } from "../files/worker-url.ts";
import { drawSvg } from "./draw-svg.ts";
import type { SvgAnswer, SvgTask } from "./svg-process.ts";
import type { RgbImage } from "./types.ts";

/** How long one drawing may take; icons take milliseconds. */
const mostSeconds = 5;

/**
 * What can make a small document take long: filters, what is drawn many times, dashes, and text in which any of these may
 * be hidden. Documents of plain shapes take as long as they have bytes.
 */
const costly =
  /filter|<[\w:]*(use|pattern|mask|marker|symbol|image|clipPath|switch|style|foreignObject)\b|dash|<!|&#/i;

/**
 * Draws an SVG document on white. One that may take long is drawn by another process, which is ended after five
 * seconds.
 * @throws Error when it cannot be drawn, or not in that time
 */
export function drawLimited(bytes: Uint8Array, density: number, maxPixels: number): Promise<RgbImage> {
  const text = new TextDecoder("latin1").decode(bytes);
  // Text of two bytes a character is not looked through.
  if (!costly.test(text) && !text.includes("\0")) return drawSvg(bytes, density, maxPixels);
  const drawn = line.then(() => drawElsewhere({ bytes, density, maxPixels }));
  line = drawn.catch(() => undefined);
  return drawn;
}

/** The drawing that is under way: the process is given one at a time. */
let line: Promise<unknown> = Promise.resolve();
let child: ChildProcess | undefined;

async function drawElsewhere(task: SvgTask): Promise<RgbImage> {
  const drawer = child?.connected ? child : await start();
  child = drawer;
  // The process is waited for while it draws, and does not keep this one alive else.
  drawer.channel?.ref();
  try {
    return await new Promise<RgbImage>((resolve, reject) => {
      const settle = (end: () => void) => {
        clearTimeout(timer);
        drawer.off("message", onMessage);
        drawer.off("exit", onExit);
        end();
      };
      const onMessage = (answer: SvgAnswer) => {
        if ("data" in answer) settle(() => resolve(answer));
        else if ("failed" in answer) settle(() => reject(new Error(answer.failed)));
      };
      const onExit = () => settle(() => reject(new Error("drawing it ended the process that draws")));
      const timer = setTimeout(() => {
        child = undefined;
        settle(() => reject(new Error(`drawing it takes more than ${mostSeconds} seconds`)));
        drawer.kill("SIGKILL");
      }, mostSeconds * 1000);
      drawer.on("message", onMessage);
      drawer.on("exit", onExit);
      drawer.send(task);
    });
  } finally {
    drawer.channel?.unref();
  }
}

/** A process that is ready to draw. */
function start(): Promise<ChildProcess> {
  const drawer = fork(workerUrl(import.meta.url, "./svg-process.ts"), {
    serialization: "advanced",
    execArgv: ["--max-old-space-size=512"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  drawer.unref();
  return new Promise((resolve, reject) => {
    drawer.once("message", () => resolve(drawer));
    drawer.once("error", reject);
    drawer.once("exit", () => reject(new Error("the process that draws ended before it began")));
  });
}
