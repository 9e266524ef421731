import type { EncoderFile } from "../../src/browser/index.ts";
import { fetchBytes } from "./fetch-bytes.ts";
import type { Storage } from "./storage.ts";

/** Side of the images that the embedded encoder sees: small ones are quick, and small to keep. */
const embeddedSize = 128;
const embedded = "efficientnet-lite0";

/** Files of a project that has an encoder of its own. */
const encoderFile = "encoder";
const encoderCard = "encoder.json";

const text = new TextDecoder();

/** Files of a project with another encoder than the embedded one. */
export const filesOfEncoder = ({ bytes, ...card }: EncoderFile): Record<string, Uint8Array> => ({
  [encoderFile]: bytes,
  [encoderCard]: new TextEncoder().encode(JSON.stringify(card)),
});

/** The project's own encoder, else the embedded one from the folder `url`. */
export async function encoderOf(
  storage: Storage | undefined,
  url: string,
  onProgress: (loaded: number, total: number) => void,
): Promise<EncoderFile> {
  const [own, card] = [await storage?.read(encoderFile), await storage?.read(encoderCard)];
  if (own !== undefined && card !== undefined) return { ...JSON.parse(text.decode(card)), bytes: own };
  const [bytes, description] = await Promise.all([
    fetchBytes(`${url}${embedded}.onnx`, onProgress),
    fetchBytes(`${url}${embedded}.json`),
  ]);
  return { id: embedded, bytes, card: JSON.parse(text.decode(description)), size: embeddedSize };
}
