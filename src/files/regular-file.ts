export { readRegular, requireRegular } from "../onnx-vjp/graph/regular-file.ts";
