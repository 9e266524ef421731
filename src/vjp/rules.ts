import { attentionRules } from "./attention.ts";
import { convolutionRules } from "./convolution.ts";
import { elementwiseRules } from "./elementwise.ts";
import { linearRules } from "./linear.ts";
import { movementRules } from "./movement.ts";
import { normalizationRules } from "./normalization.ts";
import { poolingRules } from "./pooling.ts";
import { reductionRules } from "./reduction.ts";
import { resizeRules } from "./resize.ts";
import type { RuleTable } from "./rule.ts";

/** Every pullback rule, by op of the standard ONNX domain (opset 18 forms: see graph/lower). */
export const rules: RuleTable = {
  ...elementwiseRules,
  ...linearRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalizationRules,
  ...attentionRules,
  ...movementRules,
  ...reductionRules,
  ...resizeRules,
};
