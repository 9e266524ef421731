import { attentionRules } from "./attention.ts";
import { convolutionRules } from "./convolution.ts";
import { elementwiseRules } from "./elementwise.ts";
import { geluRules } from "./gelu.ts";
import { linearRules } from "./linear.ts";
import { movementRules } from "./movement.ts";
import { normalizationRules } from "./normalization.ts";
import { poolingRules } from "./pooling.ts";
import { reductionRules } from "./reduction.ts";
import { resizeRules } from "./resize.ts";
import type { RuleTable } from "./rule.ts";
import { trigonometricRules } from "./trigonometric.ts";

/** Every pullback rule, by op (opset 18 forms: see graph/lower); of other domains, by `domain.op`. */
export const rules: RuleTable = {
  ...elementwiseRules,
  ...trigonometricRules,
  ...linearRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalizationRules,
  ...attentionRules,
  ...geluRules,
  ...movementRules,
  ...reductionRules,
  ...resizeRules,
};
