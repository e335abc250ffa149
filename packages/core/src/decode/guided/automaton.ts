import { UserError } from "../../errors.js";
import { type Expression, type Rule, rule } from "./expression.js";

/** Nodes that a constraint may have: a text of as many characters, or a schema of some ten thousand keywords. */
const maxNodes = 500_000;
/** Ways in which one beginning of a text may be read. More take too long for every token. */
const maxConfigurations = 1024;
/** States that are kept; beyond, they are forgotten and made again when needed. */
const maxKeptStates = 8192;

/**
 * What may follow a beginning of a text. States are made when they are first reached, and kept: a deterministic automaton
 * whose states are the sets of configurations of the nondeterministic one.
 */
export interface AutomatonState {
  /** Whether the text may end here. */
  readonly accepts: boolean;
  /** Whether nothing may follow. */
  readonly closed: boolean;
  /** The state after a byte, null where the byte may not follow. */
  next(byte: number): AutomatonState | null;
}

interface Node {
  edges: { low: number; high: number; to: Node }[];
  empty: Node[];
  calls: { rule: Rule; to: Node }[];
  /** Numbers all nodes. */
  id: number;
}

interface CompiledRule {
  start: Node;
  end: Node;
}

/** Where to go on when a rule is over. Stacks with the same content are the same object. */
interface Stack {
  to: Node;
  below: Stack | null;
  pushed: Map<Node, Stack>;
  id: number;
}

interface Configuration {
  node: Node;
  stack: Stack | null;
}

/**
 * Compiles an expression to an automaton over bytes. Rules that contain themselves make it a pushdown automaton: a
 * configuration is a node and the nodes to return to. Every state that is reached can still come to an end, since what no
 * finite text satisfies is left out.
 *
 * @returns the state before the first byte; undefined where no text satisfies the expression
 * @throws UserError for an expression that is too large; when states are made, for one that can be read in too many ways
 */
export function compileAutomaton(expression: Expression): AutomatonState | undefined {
  const whole = rule(expression);
  const satisfiable = satisfiableParts(whole);
  if (!satisfiable(whole)) return undefined;

  let nodes = 0;
  const newNode = (): Node => {
    if (nodes === maxNodes) {
      throw new UserError(`the pattern or schema is too large: more than ${maxNodes} states`, {
        hint: "Lower the counts of its repetitions, e.g. maxLength or {0,1000}.",
      });
    }
    return { edges: [], empty: [], calls: [], id: nodes++ };
  };

  const compiled = new Map<Rule, CompiledRule>();
  const pending: Rule[] = [];
  const compileRule = (rule: Rule): CompiledRule => {
    let done = compiled.get(rule);
    if (done === undefined) {
      done = { start: newNode(), end: newNode() };
      compiled.set(rule, done);
      pending.push(rule);
    }
    return done;
  };

  const connect = (item: Expression, from: Node, to: Node): void => {
    switch (item.kind) {
      case "byte":
        from.edges.push({ low: item.low, high: item.high, to });
        break;
      case "sequence": {
        let at = from;
        item.items.forEach((part, i) => {
          const next = i === item.items.length - 1 ? to : newNode();
          connect(part, at, next);
          at = next;
        });
        if (item.items.length === 0) from.empty.push(to);
        break;
      }
      case "choice":
        for (const way of item.items) if (satisfiable(way)) connect(way, from, to);
        break;
      case "rule":
        from.calls.push({ rule: item.rule, to });
        compileRule(item.rule);
        break;
      case "repeat":
        connectRepeat(item.item, item.least, item.most, from, to);
    }
  };

  const connectRepeat = (item: Expression, least: number, most: number, from: Node, to: Node) => {
    if (!satisfiable(item) || most === 0) {
      from.empty.push(to);
      return;
    }
    // A rule is called, so that a copy costs one node, whatever it contains.
    const copies = most === Infinity ? least + 1 : most;
    const once = item.kind === "byte" || item.kind === "rule" || copies === 1 ? item : rule(item);
    let at = from;
    for (let i = 0; i < least; i++) {
      const next = newNode();
      connect(once, at, next);
      at = next;
    }
    if (most === Infinity) {
      // A node of its own, that neither what comes before nor what comes after leads into the loop.
      const loop = newNode();
      at.empty.push(loop);
      connect(once, loop, loop);
      loop.empty.push(to);
      return;
    }
    for (let i = least; i < most; i++) {
      at.empty.push(to);
      const next = newNode();
      connect(once, at, next);
      at = next;
    }
    at.empty.push(to);
  };

  const { start } = compileRule(whole.rule);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { start, end } = compiled.get(next) as CompiledRule;
    connect(next.body, start, end);
  }
  return run(start, compiled);
}

function run(start: Node, compiled: ReadonlyMap<Rule, CompiledRule>): AutomatonState {
  const endsRule = new Set(Array.from(compiled.values(), (rule) => rule.end));
  const roots = new Map<Node, Stack>();
  let stacks = 0;
  const push = (below: Stack | null, to: Node): Stack => {
    const pushed = below === null ? roots : below.pushed;
    let stack = pushed.get(to);
    if (stack === undefined) {
      stack = { to, below, pushed: new Map(), id: ++stacks };
      pushed.set(to, stack);
    }
    return stack;
  };

  /** What can be reached without a byte: configurations that have edges, and whether the end is among them. */
  const close = (reached: Configuration[]) => {
    const seen = new Set<number>();
    const open: Configuration[] = [];
    const withEdges: { key: number; configuration: Configuration }[] = [];
    let accepts = false;
    const visit = (node: Node, stack: Stack | null) => {
      const key = (stack === null ? 0 : stack.id) * maxNodes + node.id;
      if (seen.has(key)) return;
      if (seen.size === 8 * maxConfigurations) tooManyWays();
      seen.add(key);
      const configuration = { node, stack };
      open.push(configuration);
      if (node.edges.length > 0) withEdges.push({ key, configuration });
    };
    for (const { node, stack } of reached) visit(node, stack);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const { node, stack } = next;
      if (endsRule.has(node)) {
        if (stack === null) accepts = true;
        else visit(stack.to, stack.below);
      }
      for (const to of node.empty) visit(to, stack);
      for (const call of node.calls) {
        // A call in the last place returns to where its caller does: lists by recursion do not deepen the stack.
        const below = endsRule.has(call.to) ? stack : push(stack, call.to);
        visit((compiled.get(call.rule) as CompiledRule).start, below);
      }
    }
    if (withEdges.length > maxConfigurations) tooManyWays();
    withEdges.sort((a, b) => a.key - b.key);
    return {
      accepts,
      key: `${accepts} ${withEdges.map(({ key }) => key).join(" ")}`,
      configurations: withEdges.map(({ configuration }) => configuration),
    };
  };

  const states = new Map<string, State>();
  class State implements AutomatonState {
    private following: (State | null | undefined)[] | undefined;
    constructor(
      readonly accepts: boolean,
      private readonly configurations: readonly Configuration[],
    ) {}

    get closed(): boolean {
      return this.configurations.length === 0;
    }

    next(byte: number): State | null {
      const known = this.following?.[byte];
      if (known !== undefined) return known;
      const reached: Configuration[] = [];
      for (const { node, stack } of this.configurations) {
        for (const { low, high, to } of node.edges) {
          if (byte >= low && byte <= high) reached.push({ node: to, stack });
        }
      }
      const next = reached.length === 0 ? null : stateOf(reached);
      // Only now: finding it may have made all states forget.
      this.following ??= new Array(256);
      this.following[byte] = next;
      return next;
    }

    forget(): void {
      this.following = undefined;
    }
  }

  const stateOf = (reached: Configuration[]): State => {
    const { accepts, key, configurations } = close(reached);
    let state = states.get(key);
    if (state === undefined) {
      if (states.size === maxKeptStates) {
        for (const old of states.values()) old.forget();
        states.clear();
        roots.clear();
      }
      state = new State(accepts, configurations);
      states.set(key, state);
    }
    return state;
  };
  return stateOf([{ node: start, stack: null }]);
}

function tooManyWays(): never {
  throw new UserError(`the pattern or schema can be read in more than ${maxConfigurations} ways at once`, {
    hint: "Write it so that the next character says which alternative or repetition it belongs to.",
  });
}

/** Tells which parts of an expression some finite text satisfies: the least fixed point over its rules. */
function satisfiableParts(root: Expression): (part: Expression) => boolean {
  const satisfiable = new Set<Rule>();
  const has = (part: Expression): boolean => {
    switch (part.kind) {
      case "byte":
        return true;
      case "sequence":
        return part.items.every(has);
      case "choice":
        return part.items.some(has);
      case "repeat":
        return part.least <= part.most && (part.least === 0 || has(part.item));
      case "rule":
        return satisfiable.has(part.rule);
    }
  };
  const rules = rulesIn(root);
  for (let before = -1; before < satisfiable.size; ) {
    before = satisfiable.size;
    for (const rule of rules) if (!satisfiable.has(rule) && has(rule.body)) satisfiable.add(rule);
  }
  return has;
}

/** All rules, the innermost first, which lets the fixed point come early. */
function rulesIn(root: Expression): Rule[] {
  const found = new Set<Rule>();
  const open: Expression[] = [root];
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    if (part.kind === "sequence" || part.kind === "choice") open.push(...part.items);
    else if (part.kind === "repeat") open.push(part.item);
    else if (part.kind === "rule" && !found.has(part.rule)) {
      found.add(part.rule);
      open.push(part.rule.body);
    }
  }
  return [...found].reverse();
}
