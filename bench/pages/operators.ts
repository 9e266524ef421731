/** Writes docs/operators.md: which of ONNX's operators have a pullback. `npm run operators` */
import { readFileSync, writeFileSync } from "node:fs";
import { type OperatorList, operatorsPage } from "./operators-page.ts";

const list = JSON.parse(readFileSync("tools/onnx-operators.json", "utf8")) as OperatorList;
writeFileSync("docs/operators.md", operatorsPage(list));
