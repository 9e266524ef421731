export {
  formatBytes,
  formatCount,
  formatMany,
  formatMeanStd,
  formatPercent,
  formatSeconds,
} from "../format.ts";
