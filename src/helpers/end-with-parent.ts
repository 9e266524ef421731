/**
 * Ends this process when the one that started it has ended, however that came about. An interrupt from the terminal
 * reaches every process: what it means is the parent's to say.
 */
export function endWithParent(): void {
  process.on("SIGINT", () => {});
  process.on("disconnect", () => process.exit(0));
}
