export { readRegular, requireRegular } from "../onnx-vjp/regular-file.ts";
