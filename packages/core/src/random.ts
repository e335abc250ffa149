import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/**
 * A seeded source of random numbers. The same seed gives the same numbers on every machine.
 * Independent streams are taken by name, so that adding a draw to one part of a program
 * leaves the numbers of every other part as they were.
 */
export interface Random {
  /** A stream of its own for each path of names, e.g. `random.stream("world", 3, "test")`. */
  stream(...path: (string | number)[]): Random;
  /** Uniform in [0, 1), with 53 random bits. */
  uniform(): number;
  /** Uniform integer in [0, below). */
  integer(below: number): number;
  /** Standard normal, by Box and Muller's transform. */
  normal(): number;
  /** `count` standard normal numbers times `scale`. */
  normals(count: number, scale?: number): Float32Array;
  /** The integers 0 to count - 1 in random order (Fisher and Yates). */
  permutation(count: number): Int32Array;
}

/** Random numbers from a seed: any integer or text. */
export function createRandom(seed: number | string): Random {
  return fromPath([seed]);
}

function fromPath(path: (string | number)[]): Random {
  // JSON keeps ["a", 1] apart from ["a", "1"] and ["a1"].
  const digest = createHash("sha256").update(JSON.stringify(path)).digest();
  const generator = xoroshiro128plusFromState([0, 4, 8, 12].map((at) => digest.readInt32LE(at)));
  let spareNormal: number | undefined;

  const uniform = () => {
    const high = generator.next() >>> 5; // 27 bits
    const low = generator.next() >>> 6; // 26 bits
    return (high * 67108864 + low) / 9007199254740992;
  };

  const normal = () => {
    if (spareNormal !== undefined) {
      const value = spareNormal;
      spareNormal = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };

  const integer = (below: number) => uniformInt(generator, 0, below - 1);

  return {
    stream: (...names) => fromPath([...path, ...names]),
    uniform,
    integer,
    normal,
    normals: (count, scale = 1) => Float32Array.from({ length: count }, () => normal() * scale),
    permutation(count) {
      const order = Int32Array.from({ length: count }, (_, i) => i);
      for (let i = count - 1; i > 0; i--) {
        const j = integer(i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
      return order;
    },
  };
}
