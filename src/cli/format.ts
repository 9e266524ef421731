export { formatBytes, formatCount, formatMeanStd, formatPercent, formatSeconds } from "../format.ts";
