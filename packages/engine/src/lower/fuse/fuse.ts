import type { Atom, Equation, Jaxpr, Variable } from "../../trace.js";
import { forms } from "./forms.js";
import type { Definitions } from "./pattern.js";

/**
 * The program with the forms that jax-js spells out, softmax as eight equations and its gradient as thirteen, each
 * replaced by one equation, which `fusedRules` lowers. What no form fits stays as it is.
 *
 * | form | what it becomes, forward | backward |
 * | --- | --- | --- |
 * | softmax | `Softmax` | `y * (g - sum(g * y))` |
 * | log-softmax | `LogSoftmax` | `g - exp(y) * sum(g)` |
 * | cross-entropy | log-softmax and a product with the targets; a one-hot row of `eye` becomes `OneHot` | that of log-softmax |
 * | layer norm, with or without scale and bias; `nn.standardize` | `LayerNormalization` | compact form, from the normalised row and its inverse deviation |
 * | RMS norm | stays: a sum of squares and two products (no standard operator in this opset) | compact form |
 * | GELU, exact | `Gelu`, or where the gradient shares it the product with `HardSigmoid(Erf)`, which is phi | `g * (phi + x * phi')` |
 * | GELU, tanh | `Gelu`, or shared, the product with a `Sigmoid` | `g * (s + x * s * (1 - s) * u')` |
 * | SiLU, sigmoid, tanh | `Sigmoid`, `Tanh` | from the value, no exponential |
 * | attention, causal or not | two products around softmax; the scale stays a pending one, a mask is added once for all heads | products around softmax's |
 * | rotary embedding | stays: slices, a concatenation and two products, no form is faster | stays |
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
