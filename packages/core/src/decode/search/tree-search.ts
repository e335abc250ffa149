import { UserError } from "../../errors.js";
import type { Decoder } from "../decoder.js";
import {
  bestPath,
  type MonteCarloOptions,
  monteCarloTreeSearch,
  type SearchNode,
  searchNode,
} from "./monte-carlo.js";
import { type OwnedRows, withRows } from "./owned-rows.js";
import { type Position, type StepOptions, sampleSteps } from "./steps.js";

/** A beginning of a text after the prompt. */
export interface PartialText {
  tokens: Int32Array;
  /** Whether the text is over. */
  ended: boolean;
}

/** What a text is worth, e.g. by a verifier or a process reward model: a number for each, in [0, 1] for the default exploration. */
export type ValueFunction = (texts: readonly PartialText[]) => readonly number[] | Promise<readonly number[]>;

export interface TextStep {
  tokens: readonly number[];
  /** Sum over the tokens, at temperature 1. */
  logProb: number;
  ended: boolean;
  /** How many of the samples were this step. */
  samples: number;
}

export interface TreeSearchOptions
  extends StepOptions,
    Pick<MonteCarloOptions<TextStep>, "simulations" | "selection" | "exploration" | "until"> {
  /** Steps that are sampled after a node; equal ones become one child. */
  samples: number;
  /** Most tokens of a text. Default: what the context has room for. */
  maxTokens?: number;
  value: ValueFunction;
}

/**
 * Monte Carlo tree search over steps of a text: nodes are expanded by sampling, the value function judges the beginnings. The
 * priors of `puct` are the children's probabilities, made to sum to 1. As many beginnings as the decoder has rows are kept;
 * others are read again when the search returns to them.
 *
 * @returns the tree, with visits and values of every node, and the text on its best path, which may be open still
 * @throws UserError for options out of range and too few rows; the signal's reason where it was aborted
 */
export async function treeSearch(
  decoder: Decoder,
  prompt: Int32Array,
  options: TreeSearchOptions,
): Promise<{ root: SearchNode<TextStep>; best: PartialText }> {
  const { samples, value } = options;
  if (!(Number.isSafeInteger(samples) && samples >= 1)) {
    throw new UserError(`${samples} samples of a step were asked for, expected a whole number of at least 1`);
  }
  // The prompt, the node and its children.
  if (decoder.capacity < samples + 2) {
    throw new UserError(
      `${samples} samples of a step need ${samples + 2} rows, the decoder has ${decoder.capacity}`,
    );
  }
  return withRows(decoder, async (rows) => {
    options.signal?.throwIfAborted();
    const added = await rows.add([prompt]);
    const root = searchNode<TextStep>({ tokens: [], logProb: 0, ended: false, samples: 1 });
    const positions = new Positions(rows, root, { row: added.rows[0], logits: added.logits.slice() });
    await monteCarloTreeSearch(root, {
      ...options,
      expand: (node) => expand(positions, node, options),
      evaluate: (nodes) => value(nodes.map(partialText)),
    });
    return { root, best: partialText(bestPath(root).at(-1) as SearchNode<TextStep>) };
  });
}

/** The text up to a node. */
export function partialText(node: SearchNode<TextStep>): PartialText {
  const steps: (readonly number[])[] = [];
  for (let at: SearchNode<TextStep> | undefined = node; at !== undefined; at = at.parent)
    steps.push(at.step.tokens);
  return { tokens: Int32Array.from(steps.reverse().flat()), ended: node.step.ended };
}

async function expand(
  positions: Positions,
  node: SearchNode<TextStep>,
  options: TreeSearchOptions,
): Promise<SearchNode<TextStep>[]> {
  const { tokens } = partialText(node);
  const left = (options.maxTokens ?? Infinity) - tokens.length;
  if (node.step.ended || left <= 0) return [];
  const starts = await positions.forks(node, options.samples);
  const limited = { ...options, maxStepTokens: Math.min(options.maxStepTokens, left) };
  // By its path: what is sampled after a node does not depend on when the search comes there.
  const sampled = await sampleSteps(positions.rows, starts, limited, tokens.join(" "));
  const children = new Map<string, SearchNode<TextStep>>();
  for (const { position, ...step } of sampled) {
    const known = children.get(step.tokens.join(" "));
    if (known !== undefined) {
      known.step.samples++;
      if (position !== undefined) positions.rows.remove(position.row);
      continue;
    }
    const child = searchNode<TextStep>({ ...step, samples: 1 }, node);
    children.set(step.tokens.join(" "), child);
    if (position !== undefined) positions.keep(child, position);
  }
  const nodes = [...children.values()];
  const most = Math.max(...nodes.map(({ step }) => step.logProb));
  const total = nodes.reduce((sum, { step }) => sum + Math.exp(step.logProb - most), 0);
  for (const child of nodes) child.prior = Math.exp(child.step.logProb - most) / total;
  return nodes;
}

/** The rows of the nodes that were used last. */
class Positions {
  /** The one that was used longest ago first. */
  private readonly kept = new Map<SearchNode<TextStep>, Position>();

  constructor(
    readonly rows: OwnedRows,
    private readonly root: SearchNode<TextStep>,
    private readonly start: Position,
  ) {}

  keep(node: SearchNode<TextStep>, position: Position): void {
    this.kept.delete(node);
    this.kept.set(node, position);
  }

  /** Rows that hold the text up to a node. */
  async forks(node: SearchNode<TextStep>, count: number): Promise<Position[]> {
    const { row, logits } = await this.of(node);
    // Not the node's own row: it is the newest, and there is room for it.
    this.makeRoom(count);
    return Array.from({ length: count }, () => ({ row: this.rows.fork(row), logits }));
  }

  private async of(node: SearchNode<TextStep>): Promise<Position> {
    if (node === this.root) return this.start;
    let position = this.kept.get(node);
    if (position === undefined) {
      // From the prompt on: rows of nodes on the way are older, so they went first.
      this.makeRoom(1);
      const row = this.rows.fork(this.start.row);
      let { logits } = this.start;
      for (const token of partialText(node).tokens) logits = await this.rows.decoder.step([row], [token]);
      position = { row, logits: logits.slice() };
    }
    this.keep(node, position);
    return position;
  }

  /** Frees rows of nodes that were not used for long, until `count` are free. */
  private makeRoom(count: number): void {
    for (const [node, { row }] of this.kept) {
      if (this.rows.count + count <= this.rows.decoder.capacity) return;
      this.kept.delete(node);
      this.rows.remove(row);
    }
  }
}
