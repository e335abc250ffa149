import { UserError } from "../../errors.js";
import { checkScores } from "./best-of-n.js";

/** A node of a search, and what the search found out about it. */
export interface SearchNode<Step> {
  step: Step;
  parent: SearchNode<Step> | undefined;
  /** Undefined until it is expanded; empty where nothing follows. */
  children: SearchNode<Step>[] | undefined;
  /** Share among its siblings that the policy gives it. */
  prior: number;
  /** What the value function said of it. */
  value: number | undefined;
  visits: number;
  /** Sum of the values that were found below it or at it. */
  total: number;
}

export function searchNode<Step>(step: Step, parent?: SearchNode<Step>, prior = 1): SearchNode<Step> {
  return { step, parent, children: undefined, prior, value: undefined, visits: 0, total: 0 };
}

export interface MonteCarloOptions<Step> {
  simulations: number;
  /**
   * `ucb`: mean + exploration sqrt(ln(visits of the siblings) / visits), unvisited first (UCB1: Auer et al. 2002; UCT: Kocsis and
   * Szepesvári 2006). `puct`: mean + exploration prior sqrt(visits of the siblings) / (1 + visits), an unvisited mean being 0
   * (Silver et al. 2017). Default `ucb`.
   */
  selection?: "ucb" | "puct";
  /** Default sqrt(2), for values in [0, 1]. */
  exploration?: number;
  /** `new`: a simulation ends at a node that none has visited; `leaf`: it goes on until nothing follows. Default `new`. */
  until?: "new" | "leaf";
  /** What follows a node. Not called for nodes whose `children` are there. */
  expand: (node: SearchNode<Step>) => SearchNode<Step>[] | Promise<SearchNode<Step>[]>;
  /** Values of nodes, asked for once each; with `new` those of a node's siblings at once. */
  evaluate: (nodes: readonly SearchNode<Step>[]) => readonly number[] | Promise<readonly number[]>;
  signal?: AbortSignal;
}

/**
 * Monte Carlo tree search: each simulation walks from the root to a node by the selection rule, and adds that node's value to
 * all nodes on the way. The tree that is there is used and extended; a tree that is complete is only searched.
 *
 * @throws UserError for options out of range, and for values that are NaN; the signal's reason where it was aborted
 */
export async function monteCarloTreeSearch<Step>(
  root: SearchNode<Step>,
  {
    simulations,
    selection = "ucb",
    exploration = Math.SQRT2,
    until = "new",
    expand,
    evaluate,
    signal,
  }: MonteCarloOptions<Step>,
): Promise<void> {
  if (!(Number.isSafeInteger(simulations) && simulations >= 0)) {
    throw new UserError(`${simulations} simulations were asked for, expected a whole number`);
  }
  if (!(exploration >= 0 && exploration < Infinity)) {
    throw new UserError(`exploration is ${exploration}, expected a number of at least 0`);
  }
  const select = selection === "ucb" ? ucb : puct;
  for (let simulation = 0; simulation < simulations; simulation++) {
    signal?.throwIfAborted();
    const path = [root];
    let node = root;
    for (;;) {
      node.children ??= await expand(node);
      if (node.children.length === 0) break;
      node = best(node.children, select(node.children, exploration));
      path.push(node);
      if (until === "new" && node.visits === 0) break;
    }
    const value = await evaluated(node, until, evaluate);
    for (const passed of path) {
      passed.visits++;
      passed.total += value;
    }
  }
}

/** Where the search leads: from the root on the child with the greatest mean value, of equals the first. */
export function bestPath<Step>(root: SearchNode<Step>): SearchNode<Step>[] {
  const path = [root];
  for (let node = root; node.children?.some(({ visits }) => visits > 0); path.push(node)) {
    node = best(node.children, ({ visits, total }) => (visits === 0 ? -Infinity : total / visits));
  }
  return path;
}

type Rule = <Step>(
  siblings: readonly SearchNode<Step>[],
  exploration: number,
) => (node: SearchNode<Step>) => number;

const ucb: Rule = (siblings, exploration) => {
  const all = siblings.reduce((sum, { visits }) => sum + visits, 0);
  return ({ visits, total }) =>
    visits === 0 ? Infinity : total / visits + exploration * Math.sqrt(Math.log(all) / visits);
};

const puct: Rule = (siblings, exploration) => {
  // At least 1, so that the first choice too follows the prior.
  const all = Math.max(
    1,
    siblings.reduce((sum, { visits }) => sum + visits, 0),
  );
  return ({ visits, total, prior }) =>
    (visits === 0 ? 0 : total / visits) + (exploration * prior * Math.sqrt(all)) / (1 + visits);
};

function best<Step>(nodes: readonly SearchNode<Step>[], scoreOf: (node: SearchNode<Step>) => number) {
  return nodes.reduce((best, node) => (scoreOf(node) > scoreOf(best) ? node : best));
}

async function evaluated<Step>(
  node: SearchNode<Step>,
  until: "new" | "leaf",
  evaluate: MonteCarloOptions<Step>["evaluate"],
): Promise<number> {
  if (node.value === undefined) {
    const siblings = until === "new" ? (node.parent?.children ?? [node]) : [node];
    const nodes = siblings.filter(({ value }) => value === undefined);
    const values = await evaluate(nodes);
    checkScores(values, nodes.length);
    nodes.forEach((node, i) => {
      node.value = values[i];
    });
  }
  return node.value as number;
}
