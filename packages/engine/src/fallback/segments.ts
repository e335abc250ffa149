import { UnsupportedPrimitiveError } from "../errors.js";
import { lower } from "../lower/lower.js";
import type { Atom, Constant, Equation, Jaxpr, Traced, Variable } from "../trace.js";

export type Executor = "onnx" | "jax-js";

/** A part of a program that one executor runs in one go. */
export interface Segment {
  readonly executor: Executor;
  /** Inputs: the constants, then the values that the segment takes. Results: the values that others take from it. */
  readonly jaxpr: Jaxpr;
  readonly constants: readonly Constant[];
  readonly inputs: readonly Variable[];
}

/** The equations that cannot be lowered, with the reason: each is lowered by itself. */
export function unlowered(jaxpr: Jaxpr): Map<Equation, UnsupportedPrimitiveError> {
  const found = new Map<Equation, UnsupportedPrimitiveError>();
  for (const equation of jaxpr.eqns) {
    const alone: Jaxpr = {
      inBinders: [...new Set(equation.inputs.filter(isVariable))],
      eqns: [equation],
      outs: equation.outBinders,
    };
    try {
      lower({ jaxpr: alone, constants: [] });
    } catch (error) {
      if (!(error instanceof UnsupportedPrimitiveError)) throw error;
      found.set(equation, error);
    }
  }
  return found;
}

/**
 * What only looks at its operand in another way is done again in each segment that needs it: a broadcast handed from
 * one executor to another would have to be written out, and may be a thousand times larger than its contents.
 */
const views = new Set(["broadcast", "reshape", "transpose", "stop_gradient"]);

/** The number of the first segment in which a value can be used, by who uses it. */
type Ready = Record<Executor, number>;

const FROM_THE_START: Ready = { onnx: 0, "jax-js": 1 };

/**
 * Cuts a program into segments in the order in which they run, alternately on ONNX Runtime and on jax-js, as few as
 * its data flow allows: each equation stands in the first segment of its executor that has its operands. Segments
 * without equations are left out.
 */
export function cut(
  { jaxpr, constants }: Pick<Traced, "jaxpr" | "constants">,
  isLowered: (equation: Equation) => boolean,
): Segment[] {
  const makers = new Map<Variable, Equation>();
  const ready = new Map<Variable, Ready>();
  const readyOf = (variable: Variable) => ready.get(variable) ?? FROM_THE_START;
  const isView = (equation: Equation) => views.has(equation.primitive) && isLowered(equation);
  const stages: { equations: Set<Equation>; results: Set<Variable> }[] = [];
  const stageAt = (index: number) => {
    while (stages.length <= index) stages.push({ equations: new Set(), results: new Set() });
    return stages[index];
  };
  /** Where values are made that are no views. */
  const homes = new Map<Variable, number>();

  for (const equation of jaxpr.eqns) {
    const operands = equation.inputs.filter(isVariable).map(readyOf);
    const first = (executor: Executor) =>
      Math.max(FROM_THE_START[executor], ...operands.map((operand) => operand[executor]));
    let result: Ready = { onnx: first("onnx"), "jax-js": first("jax-js") };
    if (!isView(equation)) {
      const lowers = isLowered(equation);
      const home = lowers ? result.onnx : result["jax-js"];
      stageAt(home).equations.add(equation);
      for (const variable of equation.outBinders) homes.set(variable, home);
      result = lowers ? { onnx: home, "jax-js": home + 1 } : { onnx: home + 1, "jax-js": home };
    }
    for (const variable of equation.outBinders) {
      makers.set(variable, equation);
      ready.set(variable, result);
    }
  }
  for (const variable of jaxpr.outs.filter(isVariable)) {
    if (!makers.has(variable)) continue;
    // Views that are results of the program are made where their contents are first at hand.
    stageAt(homes.get(variable) ?? Math.min(...Object.values(readyOf(variable)))).results.add(variable);
  }

  const given = jaxpr.inBinders.slice(0, constants.length);
  const segments: Segment[] = [];
  // From the last stage to the first, so that what the later ones take is known.
  for (const [stage, { equations, results }] of [...stages.entries()].reverse()) {
    const inputs = new Set<Variable>();
    const include = (variable: Variable) => {
      const maker = makers.get(variable);
      if (maker && isView(maker)) {
        if (equations.has(maker)) return;
        equations.add(maker);
        maker.inputs.filter(isVariable).forEach(include);
      } else if (homes.get(variable) !== stage) inputs.add(variable);
    };
    for (const equation of [...equations]) equation.inputs.filter(isVariable).forEach(include);
    for (const variable of results) include(variable);
    if (equations.size === 0) continue;
    for (const variable of inputs) {
      const home = homes.get(variable);
      if (home !== undefined) stageAt(home).results.add(variable);
    }
    const captured = given.filter((variable) => inputs.has(variable));
    const taken = [...inputs].filter((variable) => !captured.includes(variable));
    segments.unshift({
      executor: stage % 2 === 0 ? "onnx" : "jax-js",
      jaxpr: {
        inBinders: [...captured, ...taken],
        eqns: jaxpr.eqns.filter((equation) => equations.has(equation)),
        outs: [...results],
      },
      constants: captured.map((variable) => constants[given.indexOf(variable)]),
      inputs: taken,
    });
  }
  return segments;
}

export const isVariable = (atom: Atom): atom is Variable => !("value" in atom);
