import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { bestPath, monteCarloTreeSearch, type SearchNode, searchNode } from "./monte-carlo.js";

/** A tree of given rewards at its leaves. */
type Shape = number | Shape[];

function treeOf(shape: Shape, parent?: SearchNode<string>, name = "", prior = 1): SearchNode<string> {
  const node = searchNode(name, parent, prior);
  if (typeof shape === "number") Object.assign(node, { value: shape, children: [] });
  else node.children = shape.map((child, i) => treeOf(child, node, `${name}${i}`, 1 / shape.length));
  return node;
}

const never = () => {
  throw new Error("the tree is complete");
};
const leafSearch = (root: SearchNode<string>, simulations: number, options: object = {}) =>
  monteCarloTreeSearch(root, { simulations, until: "leaf", expand: never, evaluate: never, ...options });

describe("Monte Carlo tree search", () => {
  test("visits the arms of a bandit as UCB1 does, by a loop of its own", async () => {
    const rewards = [0.2, 0.9, 0.5, 0.85];
    for (const exploration of [0.3, Math.SQRT2]) {
      const root = treeOf(rewards);
      await leafSearch(root, 200, { exploration });
      const counts = rewards.map(() => 0);
      for (let t = 0; t < 200; t++) {
        const scores = rewards.map((reward, i) =>
          counts[i] === 0 ? Infinity : reward + exploration * Math.sqrt(Math.log(t) / counts[i]),
        );
        counts[scores.indexOf(Math.max(...scores))]++;
      }
      expect(root.children?.map(({ visits }) => visits)).toEqual(counts);
      expect(root).toMatchObject({ visits: 200 });
    }
  });

  test("PUCT follows its priors first, then the values", async () => {
    const root = treeOf([0.5, 0.5, 0.5]);
    root.children?.forEach((child, i) => {
      child.prior = [0.1, 0.6, 0.3][i];
    });
    await leafSearch(root, 1, { selection: "puct" });
    expect(root.children?.map(({ visits }) => visits)).toEqual([0, 1, 0]);
    await leafSearch(root, 999, { selection: "puct", exploration: 1 });
    // Equal values: in the limit visits are shared as the priors are.
    [100, 600, 300].forEach((expected, i) => {
      expect(Math.abs((root.children?.[i].visits ?? 0) - expected)).toBeLessThan(8);
    });
  });

  test("visits and totals of a node are the sums of its children's", async () => {
    const random = createRandom(4);
    const shape = (depth: number): Shape =>
      depth === 0 ? random.uniform() : Array.from({ length: 1 + random.integer(3) }, () => shape(depth - 1));
    const root = treeOf(shape(4));
    await leafSearch(root, 300);
    const check = (node: SearchNode<string>) => {
      if (node.children === undefined || node.children.length === 0) return;
      expect(node.visits).toBe(node.children.reduce((sum, { visits }) => sum + visits, 0));
      expect(node.total).toBeCloseTo(
        node.children.reduce((sum, { total }) => sum + total, 0),
        9,
      );
      node.children.forEach(check);
    };
    check(root);
  });

  test("from enough simulations on its path ends in the best leaf of trees of six", async () => {
    let found = 0;
    for (let seed = 0; seed < 50; seed++) {
      const random = createRandom(seed);
      const rewards = Array.from({ length: 6 }, () => random.uniform());
      const root = treeOf([rewards.slice(0, 2), rewards.slice(2, 3), [rewards.slice(3, 5), rewards[5]]]);
      await leafSearch(root, 500, { exploration: 1.41 });
      if (bestPath(root).at(-1)?.value === Math.max(...rewards)) found++;
    }
    expect(found).toBeGreaterThan(40);
  });

  test("expands a node when it is come to for the second time, and asks for values once, siblings together", async () => {
    const asked: string[][] = [];
    const expanded: string[] = [];
    const root = searchNode("");
    const options = {
      expand: (node: SearchNode<string>) => {
        expanded.push(node.step);
        return node.step.length === 2 ? [] : ["a", "b"].map((step) => searchNode(node.step + step, node));
      },
      evaluate: async (nodes: readonly SearchNode<string>[]) => {
        asked.push(nodes.map(({ step }) => step));
        return nodes.map(({ step }) => (step.startsWith("b") ? 1 : 0));
      },
      exploration: 0,
    };
    await monteCarloTreeSearch(root, { simulations: 2, ...options });
    expect([expanded, asked]).toEqual([[""], [["a", "b"]]]);
    await monteCarloTreeSearch(root, { simulations: 3, ...options });
    expect([expanded, asked]).toEqual([
      ["", "b", "ba"],
      [
        ["a", "b"],
        ["ba", "bb"],
      ],
    ]);
    expect(root.visits).toBe(5);
    expect(bestPath(root).map(({ step }) => step)).toEqual(["", "b", "ba"]);
  });

  test("ties go to the child that was first, and an unvisited one is never the way out", () => {
    const root = treeOf([0.5, 0.5, 1]);
    for (const child of root.children?.slice(0, 2) ?? []) Object.assign(child, { visits: 2, total: 1 });
    expect(bestPath(root).map(({ step }) => step)).toEqual(["", "0"]);
    expect(bestPath(treeOf([1, 2]))).toHaveLength(1);
  });

  test("refuses values that are no numbers, options out of range, and stops where it is aborted", async () => {
    const root = () => searchNode("");
    const expand = (node: SearchNode<string>) => [searchNode("x", node)];
    const search = (options: object) =>
      monteCarloTreeSearch(root(), { simulations: 3, expand, evaluate: () => [1], ...options });
    await expect(search({ evaluate: () => [Number.NaN] })).rejects.toThrow("is NaN");
    await expect(search({ simulations: -1 })).rejects.toThrow("-1 simulations");
    await expect(search({ exploration: -1 })).rejects.toThrow("exploration is -1");
    await expect(search({ signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});
