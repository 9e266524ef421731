import { defineConfig } from "vitest/config";

/** What takes minutes, or the npm registry: left out of `npm test`. */
export default defineConfig({
  test: {
    include: ["test/slow/**/*.test.ts"],
    pool: "forks",
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
