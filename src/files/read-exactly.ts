export { readExactly } from "../onnx-vjp/read-exactly.ts";
