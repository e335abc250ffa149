import type { Atom, Equation, Jaxpr, Variable } from "../../trace.js";
import { forms } from "./forms.js";
import type { Definitions } from "./pattern.js";

/**
 * The program with the forms that jax-js spells out, softmax as eight equations and its gradient as thirteen, each
 * replaced by one equation, which `fusedRules` lowers to standard operators. What no form fits stays as it is.
 *
 * | form | value | gradient |
 * | --- | --- | --- |
 * | softmax | `Softmax` | `y * (g - sum(g * y))` |
 * | log-softmax | `LogSoftmax` | `g - exp(y) * sum(g)` |
 * | cross-entropy | log-softmax, then a product with the targets and sums | that of log-softmax |
 * | layer norm, `nn.standardize` | `LayerNormalization` | from the normalised row and its deviation |
 * | RMS norm | as written: a sum of squares and two products | the same without the mean |
 * | GELU by erf or erfc | `Gelu`; with its gradient `x * phi`, phi from `Erf` | `g * (phi + x * phi')` |
 * | GELU by tanh | `Gelu`; with its gradient `x * s`, s a `Sigmoid` | `g * (s + x * s * (1 - s) * u')` |
 * | SiLU, sigmoid, tanh | `Sigmoid`, `Tanh` | from the value: no exponential |
 * | attention, causal or not | two products around softmax; the scale is folded into the first, one mask serves all heads | products around that of softmax |
 * | rotary embedding | as written: two slices, a concatenation, two products | as written |
 *
 * `x * phi` takes longer than `Gelu`, but is the cheaper of the two where the gradient needs phi anyway.
 * `RotaryEmbedding` and `RMSNormalization` would be faster, but are standard only from opset 23 on. The operators that
 * do a whole attention have no gradient: they keep no weights.
 */
export function fuse(jaxpr: Jaxpr): Jaxpr {
  const definitions = new Map<Atom, Equation>();
  let equations: Equation[] = [];
  const push = (equation: Equation) => {
    equations.push(equation);
    for (const variable of equation.outBinders) definitions.set(variable, equation);
  };
  for (const equation of jaxpr.eqns) {
    push(equation);
    const [variable] = equation.outBinders;
    if (equation.outBinders.length !== 1 || variable.aval.dtype !== "float32") continue;
    const replacement = inOtherWords(variable, equation.primitive, definitions);
    if (!replacement) continue;
    equations.pop();
    for (const made of replacement) push(made);
  }
  equations = live(equations, jaxpr.outs);
  return { inBinders: jaxpr.inBinders, eqns: shareGelu(equations), outs: jaxpr.outs };
}

/** The equations to write in the place of one that ends a form; undefined where it ends none. */
function inOtherWords(
  result: Variable,
  primitive: string,
  definitions: Definitions,
): readonly Equation[] | undefined {
  for (const form of forms) {
    if (form.root !== primitive) continue;
    for (const found of form.pattern(result, { atoms: {} }, definitions)) {
      const replacement = form.rewrite(found, result, definitions);
      if (replacement) return replacement;
    }
  }
  return undefined;
}

/** The equations that the results need. */
function live(equations: readonly Equation[], outs: readonly Atom[]): Equation[] {
  const needed = new Set<Atom>(outs);
  return [...equations]
    .reverse()
    .filter(({ outBinders, inputs }) => {
      const used = outBinders.some((variable) => needed.has(variable));
      if (used) for (const input of inputs) needed.add(input);
      return used;
    })
    .reverse();
}

/** Says of each GELU whether its gradient is computed as well. */
function shareGelu(equations: readonly Equation[]): Equation[] {
  const differentiated = new Set<Atom>();
  for (const { primitive, inputs } of equations) {
    if (primitive === "gelu_gradient") differentiated.add(inputs[0]);
  }
  return equations.map((equation) =>
    equation.primitive === "gelu"
      ? { ...equation, params: { ...equation.params, shared: differentiated.has(equation.inputs[0]) } }
      : equation,
  );
}
