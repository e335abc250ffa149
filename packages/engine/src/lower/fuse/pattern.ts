import type { Atom, Equation } from "../../trace.js";
import { broadcastTo, broadcastView, contiguousView, reshapeView, type View } from "../view.js";

/** What a pattern found: atoms by name, and the reduction that it runs over. */
export interface Found {
  readonly atoms: Readonly<Record<string, Atom>>;
  /** Shape and axes of what is reduced; one pattern knows one reduction. */
  readonly over?: { readonly shape: readonly number[]; readonly axes: readonly number[] };
}

export type Definitions = ReadonlyMap<Atom, Equation>;

/** Yields every way in which an atom, with what was found before, is an instance of the pattern. */
export type Pattern = (atom: Atom, found: Found, definitions: Definitions) => Generator<Found>;

const isLiteral = (atom: Atom) => "value" in atom;

/** The same atom, or literals of the same value. */
const same = (a: Atom, b: Atom) =>
  a === b || ("value" in a && "value" in b && a.value === b.value && a.aval.dtype === b.aval.dtype);

/** Anything; where the name stands twice in a pattern, the same twice. */
export const any = (name: string): Pattern =>
  function* (atom, found) {
    const known = found.atoms[name];
    if (known === undefined) yield { ...found, atoms: { ...found.atoms, [name]: atom } };
    else if (same(known, atom)) yield found;
  };

/** A literal of this value, to float32's precision. */
export const literal = (value: number): Pattern =>
  function* (atom, found) {
    if ("value" in atom && Math.abs(atom.value - value) <= 1e-6 * Math.abs(value)) yield found;
  };

/** Any literal, under a name. */
export const anyLiteral = (name: string): Pattern =>
  function* (atom, found, definitions) {
    if (isLiteral(atom)) yield* any(name)(atom, found, definitions);
  };

export const either = (...patterns: readonly Pattern[]): Pattern =>
  function* (atom, found, definitions) {
    for (const pattern of patterns) {
      for (const next of pattern(atom, found, definitions)) {
        yield next;
        if (next === found) return;
      }
    }
  };

/** What is an instance of both. */
export const both = (one: Pattern, other: Pattern): Pattern =>
  function* (atom, found, definitions) {
    for (const next of one(atom, found, definitions)) yield* other(atom, next, definitions);
  };

const commutative = new Set(["add", "mul"]);

const primitive =
  (name: string) =>
  (...operands: readonly Pattern[]): Pattern =>
    function* (atom, found, definitions) {
      const equation = definitions.get(atom);
      if (equation?.primitive !== name) return;
      const { inputs } = equation;
      const orders = [inputs];
      if (commutative.has(name) && inputs[0] !== inputs[1]) orders.push([...inputs].reverse());
      for (const order of orders) {
        for (const next of inOrder(order, 0, found)) {
          yield next;
          // Another way that says nothing new would only be tried in vain: without this the time is exponential.
          if (next === found) return;
        }
      }

      function* inOrder(order: readonly Atom[], at: number, sofar: Found): Generator<Found> {
        if (at === operands.length) yield sofar;
        else {
          for (const next of operands[at](order[at], sofar, definitions)) yield* inOrder(order, at + 1, next);
        }
      }
    };

export const add = primitive("add");
export const mul = primitive("mul");
export const neg = primitive("neg");
export const exp = primitive("exp");
export const log = primitive("log");
export const erf = primitive("erf");
export const erfc = primitive("erfc");
export const sqrt = primitive("sqrt");
export const reciprocal = primitive("reciprocal");
/** What an earlier rewriting made. */
export const fused = primitive;

/** `where(x < 0, 1, -1)` */
export const minusSign = (operand: Pattern): Pattern =>
  function* (atom, found, definitions) {
    const choice = definitions.get(atom);
    if (choice?.primitive !== "where") return;
    const [condition, yes, no] = choice.inputs;
    const comparison = definitions.get(condition);
    if (comparison?.primitive !== "compare" || comparison.params.op !== "less") return;
    const ends = [literal(1)(yes, found, definitions), literal(-1)(no, found, definitions)];
    const bound = literal(0)(comparison.inputs[1], found, definitions);
    if ([...ends, bound].every((one) => !one.next().done)) {
      yield* operand(comparison.inputs[0], found, definitions);
    }
  };

/** A reduction; all those of a pattern run over the same axes of the same shape. */
export const reduce = (op: "Add" | "Max", operand: Pattern): Pattern =>
  function* (atom, found, definitions) {
    const equation = definitions.get(atom);
    if (equation?.primitive !== "reduce" || equation.params.op !== op) return;
    const over = { shape: equation.inputs[0].aval.shape, axes: equation.params.axis as number[] };
    const known = found.over;
    if (known && (known.shape.join() !== over.shape.join() || known.axes.join() !== over.axes.join())) return;
    yield* operand(equation.inputs[0], known ? found : { ...found, over }, definitions);
  };

/** Reshapes and broadcasts after which what was reduced stands beside each element that went into it. */
export const spread = (operand: Pattern): Pattern =>
  function* (atom, found, definitions) {
    const views: Equation[] = [];
    let inner = atom;
    for (;;) {
      const equation = definitions.get(inner);
      const isView =
        equation !== undefined && ["reshape", "broadcast", "stop_gradient"].includes(equation.primitive);
      if (!isView) break;
      views.unshift(equation);
      inner = equation.inputs[0];
    }
    for (const next of operand(inner, found, definitions)) {
      if (next.over && standsBeside(views, inner.aval.shape, next.over)) yield next;
    }
  };

function standsBeside(
  views: readonly Equation[],
  from: readonly number[],
  { shape, axes }: NonNullable<Found["over"]>,
): boolean {
  let view: View | null = contiguousView(from);
  for (const { primitive, params } of views) {
    if (primitive === "reshape") view = reshapeView(view, params.shape as number[]);
    else if (primitive === "broadcast") {
      view = broadcastView(view, params.shape as number[], params.axis as number[]);
    }
    if (view === null) return false;
  }
  if (view.axes.length > shape.length) return false;
  const lined = view.axes.every((axis, i) => {
    const size = axis.reduce((total, factor) => total * factor.size, 1);
    return size === 1 || size === shape[shape.length - (view as View).axes.length + i];
  });
  if (!lined) return false;
  const wide = broadcastTo(view, shape);
  const inOrder = wide.axes.flat().filter((factor) => factor.real);
  return (
    wide.axes.every((axis, i) => axis.every((factor) => factor.real !== axes.includes(i))) &&
    inOrder.every((factor, i) => factor === wide.physical[i])
  );
}
