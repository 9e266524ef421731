import type { HubAccess } from "../files/hub/settings.ts";
import type { Device, Precision } from "../onnx-vjp/graph/device.ts";
import type { Pool } from "./encoder-model.ts";
import type { Dtype } from "./load/choose-onnx.ts";
import type { ModelForm } from "./model-form.ts";

/** Which encoder runs, and where. */
export interface EncoderParams extends ModelForm {
  /** An embedded or known name, a hub id, or a path. */
  readonly encoder: string;
  /** Branch, tag or commit of a hub repository (default: main). */
  readonly revision?: string | undefined;
  /** Which ONNX file of a repository is taken (default: fp32). */
  readonly dtype?: Dtype | undefined;
  /** How encoders of the hub are reached (default: as Hugging Face's environment variables say). */
  readonly hub?: HubAccess | undefined;
  readonly feature?: string | undefined;
  readonly pool?: Pool | undefined;
  /** Side of the images the encoder sees (default: the encoder's own). */
  readonly size?: number | undefined;
  /** Shorter edge that images are resized to before the crop to `size` (default: the encoder's own ratio). */
  readonly resize?: number | undefined;
  readonly device?: Device | undefined;
  /** What matrix products are computed in (default: float32); float16 on a GPU only. */
  readonly precision?: Precision | undefined;
  readonly threads?: number | undefined;
  /** Bytes for intermediate values (default: a quarter of the machine's memory). */
  readonly memoryBytes?: number | undefined;
}
