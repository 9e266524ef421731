import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A seeded stream of random numbers. */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
  /** Uniform integer in [0, n). */
  below(n: number): number;
}

/** A separate stream for each (seed, purpose), so that drawing more of one thing changes no other. */
export function seededRandom(seed: number, purpose: string): Random {
  // FNV-1a of the purpose; xoroshiro's own seeding spreads the bits.
  let hash = 0x811c9dc5;
  for (let i = 0; i < purpose.length; i++) hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193);
  return over(xoroshiro128plus(Math.imul(seed, 0x9e3779b1) ^ hash));
}

function over(generator: ReturnType<typeof xoroshiro128plus>): Random {
  return {
    uniform: () => uniformFloat64(generator),
    // Box–Muller without keeping the second number: the state stays the generator's alone.
    normal: () => {
      const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator)));
      return radius * Math.cos(2 * Math.PI * uniformFloat64(generator));
    },
    below: (n) => uniformInt(generator, 0, n - 1),
  };
}
