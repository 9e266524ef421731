import { Tensor } from "onnxruntime-common";
import type { RgbImage } from "../images/types.ts";
import type { Graph } from "../onnx-vjp/graph/ir.ts";
import type { Runtime, Session } from "../onnx-vjp/graph/runtime.ts";
import { classifierInput, classifierOutput } from "./classifier-graph.ts";

/** An exported classifier, run as any program runs it. */
export class ExportedClassifier {
  private readonly session: Session;

  private constructor(session: Session) {
    this.session = session;
  }

  static async open(runtime: Runtime, graph: Graph): Promise<ExportedClassifier> {
    return new ExportedClassifier(await runtime.session(graph));
  }

  /** Logits n × C, row-major, of pictures of one size. */
  async logits(images: readonly RgbImage[]): Promise<Float32Array> {
    const { width, height } = images[0];
    const area = width * height;
    const pixels = new Float32Array(images.length * 3 * area);
    for (const [i, { data }] of images.entries()) {
      for (let p = 0; p < area; p++) {
        for (let c = 0; c < 3; c++) pixels[(i * 3 + c) * area + p] = data[3 * p + c] / 255;
      }
    }
    const dims = [images.length, 3, height, width];
    const results = await this.session.run({ [classifierInput]: new Tensor("float32", pixels, dims) });
    return results[classifierOutput].data as Float32Array;
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
