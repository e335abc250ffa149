import type { Atom, Equation, Variable } from "../../trace.js";
import { product } from "../view.js";
import {
  add,
  any,
  anyLiteral,
  both,
  type Definitions,
  either,
  erf,
  erfc,
  exp,
  type Found,
  fused,
  literal,
  log,
  minusSign,
  mul,
  neg,
  type Pattern,
  reciprocal,
  reduce,
  spread,
  sqrt,
} from "./pattern.js";

/** A way in which jax-js spells something out, and what to write instead. */
export interface Form {
  /** The primitive of the equation that ends it. */
  readonly root: string;
  readonly pattern: Pattern;
  /** The equations to write instead; undefined where what was found will not do after all. */
  rewrite(found: Found, result: Variable, definitions: Definitions): Equation[] | undefined;
}

const [x, g, rest] = [any("x"), any("g"), any("rest")];

type Parameters = Readonly<Record<string, unknown>>;

/** One equation in the place of the form: `primitive` of what was found under the given names. */
const form = (
  root: string,
  pattern: Pattern,
  primitive: string,
  names: readonly string[],
  parameters: (found: Found) => Parameters | undefined = () => ({}),
): Form => ({
  root,
  pattern,
  rewrite(found, result) {
    const params = parameters(found);
    const inputs = names.map((name) => found.atoms[name]);
    const { shape } = result.aval;
    const whole =
      String(found.over?.shape ?? shape) === String(shape) && inputs.every((input) => isWhole(input, shape));
    return params && whole ? [{ primitive, inputs, params, outBinders: [result] }] : undefined;
  },
});

/** As `form`, for a gradient to which jax-js may have added that of other uses, `rest`, before it was complete. */
const gradientForm = (
  pattern: Pattern,
  primitive: string,
  parameters: (found: Found, definitions: Definitions) => Parameters | undefined,
): Form => ({
  root: "add",
  pattern,
  rewrite(found, result, definitions) {
    const params = parameters(found, definitions);
    const inputs = ["x", "g"].map((name) => found.atoms[name]);
    const shape = found.over?.shape ?? [];
    if (!params || !inputs.every((input) => isWhole(input, shape))) return undefined;
    const { rest } = found.atoms;
    if (rest === undefined) {
      const same = String(shape) === String(result.aval.shape);
      return same ? [{ primitive, inputs, params, outBinders: [result] }] : undefined;
    }
    // Under vmap the rest may have an axis more, along which this part is the same.
    const part: Variable = { id: -1, aval: { ...result.aval, shape: [...shape] } };
    return [
      { primitive, inputs, params, outBinders: [part] },
      { primitive: "add", inputs: [rest, part], params: {}, outBinders: [result] },
    ];
  },
});

/** Forms are of floats without broadcasts. */
const isWhole = (atom: Atom, shape: readonly number[]) =>
  atom.aval.dtype === "float32" && atom.aval.shape.join() === shape.join();

const axes = (found: Found) => ({ axes: found.over?.axes });

/** The number of elements reduced is one over this literal. */
const isMean = (found: Found, names: readonly string[]): boolean => {
  if (!found.over) return false;
  const { shape, axes } = found.over;
  const count = product(axes.map((axis) => shape[axis]));
  return names.every((name) => {
    const atom = found.atoms[name];
    return atom === undefined || ("value" in atom && Math.abs(atom.value * count - 1) < 1e-6);
  });
};

const sum = (operand: Pattern) => reduce("Add", operand);
const square = (operand: Pattern) => mul(operand, operand);

// Softmax, whose largest element is subtracted first.
const shifted = add(x, neg(spread(reduce("Max", x))));
const exponential = exp(shifted);
const total = spread(sum(exponential));
const overTotal = reciprocal(total);

const softmaxForms: Form[] = [
  form("mul", mul(exponential, overTotal), "softmax", ["x"], axes),
  form(
    "mul",
    mul(
      exponential,
      add(mul(overTotal, g), spread(mul(neg(square(overTotal)), spread(sum(mul(exponential, g)))))),
    ),
    "softmax_gradient",
    ["x", "g"],
    axes,
  ),
  form("add", add(shifted, neg(log(total))), "log_softmax", ["x"], axes),
  form(
    "add",
    add(g, mul(exponential, spread(mul(overTotal, neg(spread(sum(g))))))),
    "log_softmax_gradient",
    ["x", "g"],
    axes,
  ),
];

// Normalisation: a row, mostly less its mean, over its root mean square.
const mean = (operand: Pattern, name: string) => {
  const added = sum(operand);
  return spread(mul(either(spread(added), added), anyLiteral(name)));
};
/** The gradient that arrives at the variance: `g` sums what multiplies the quotient, `top`. */
const varianceGradient = (top: Pattern, root: Pattern) =>
  mul(reciprocal(mul(root, literal(2))), mul(neg(square(reciprocal(root))), spread(sum(mul(top, g)))));
const meanOf = (operand: Pattern, name: string) => spread(mul(operand, anyLiteral(name)));

const epsilon = anyLiteral("epsilon");
const centred = add(x, neg(mean(x, "share")));
const deviation = sqrt(add(mean(square(centred), "share"), epsilon));
// By then the gradient at the centred row was recognised as that of a root mean square.
const centredGradient = both(any("inner"), fused("rms_gradient")(centred, g));
const layerGradient = (first: (part: Pattern) => Pattern) =>
  add(first(centredGradient), spread(mul(neg(spread(sum(centredGradient))), anyLiteral("share"))));

// nn.standardize: the mean of squares less the square of the mean.
const meanHere = mean(x, "share");
const standardDeviation = sqrt(add(add(mean(square(x), "share"), neg(square(meanHere))), epsilon));
const standardGradient = (first: (part: Pattern) => Pattern) => {
  const variance = varianceGradient(centred, standardDeviation);
  const scaled = meanOf(variance, "share");
  const byMean = mul(neg(variance), meanHere);
  const inner = spread(sum(mul(g, reciprocal(standardDeviation))));
  const towardsMean = meanOf(add(add(neg(inner), byMean), byMean), "share");
  const part = mul(g, reciprocal(standardDeviation));
  return add(add(add(first(part), towardsMean), mul(scaled, x)), mul(scaled, x));
};

const rootMeanSquare = sqrt(add(mean(square(x), "share"), epsilon));
const rmsGradient = (first: (part: Pattern) => Pattern) => {
  const variance = meanOf(varianceGradient(x, rootMeanSquare), "share");
  return add(add(first(mul(g, reciprocal(rootMeanSquare))), mul(variance, x)), mul(variance, x));
};

const alone = (part: Pattern) => part;
const besides = (part: Pattern) => add(rest, part);

const normalisation = (found: Found) => {
  const { epsilon } = found.atoms;
  const usable = isMean(found, ["share"]) && "value" in epsilon && epsilon.value > 0;
  return usable ? { axes: found.over?.axes, epsilon: epsilon.value } : undefined;
};

/** Scale and bias after a normalised last axis: vectors along it. */
const affine: Form = {
  root: "add",
  pattern: add(mul(any("normalised"), any("scale")), any("bias")),
  rewrite({ atoms: { normalised, scale, bias } }, result, definitions) {
    const made = definitions.get(normalised);
    const { shape } = result.aval;
    if (made?.primitive !== "standardise" || !isWhole(normalised, shape)) return undefined;
    const last = (made.params.axes as number[]).join() === String(shape.length - 1);
    if (!last || ![scale, bias].every((atom) => isWhole(atom, shape.slice(-1)))) return undefined;
    const inputs = [made.inputs[0], scale, bias];
    return [{ primitive: "layer_norm", inputs, params: made.params, outBinders: [result] }];
  },
};

const normForms: Form[] = [
  affine,
  form(
    "mul",
    mul(centred, reciprocal(either(deviation, standardDeviation))),
    "standardise",
    ["x"],
    normalisation,
  ),
  ...[alone, besides].flatMap((first) => [
    gradientForm(layerGradient(first), "standardise_gradient", (found, definitions) => {
      const inner = definitions.get(found.atoms.inner)?.params;
      const alike = String(inner?.axes) === String(found.over?.axes) && isMean(found, ["share"]);
      return alike ? inner : undefined;
    }),
    gradientForm(standardGradient(first), "standardise_gradient", normalisation),
    gradientForm(rmsGradient(first), "rms_gradient", normalisation),
  ]),
];

// Hyperbolic tangent and sigmoid, which jax-js builds from exponentials of a negative number.
const sign = minusSign(x);
const twice = exp(mul(mul(x, sign), literal(2)));
const minusOne = add(twice, literal(-1));
const overPlusOne = reciprocal(add(twice, literal(1)));
const signed = mul(g, sign);
const decay = exp(neg(x));
const sigmoid = fused("sigmoid")(x);

const sigmoidForms: Form[] = [
  form("mul", mul(mul(minusOne, overPlusOne), sign), "tanh", ["x"]),
  form(
    "mul",
    mul(
      mul(
        mul(twice, add(mul(signed, overPlusOne), mul(neg(square(overPlusOne)), mul(minusOne, signed)))),
        literal(2),
      ),
      sign,
    ),
    "tanh_gradient",
    ["x", "g"],
  ),
  form("reciprocal", reciprocal(add(decay, literal(1))), "sigmoid", ["x"]),
  form("neg", neg(mul(decay, mul(neg(square(sigmoid)), g))), "sigmoid_gradient", ["x", "g"]),
  form("add", add(mul(sigmoid, g), fused("sigmoid_gradient")(x, mul(x, g))), "silu_gradient", ["x", "g"]),
];

// GELU (Hendrycks and Gimpel 2016): x times the normal distribution function, by either error function.
const half = literal(0.5);
const root = mul(x, literal(Math.SQRT1_2));
const twicePhi = either(add(erf(root), literal(1)), erfc(neg(root)));
/** The derivative of twicePhi by `root`, times a gradient. */
const density = (gradient: Pattern) => {
  const slope = 2 / Math.sqrt(Math.PI);
  return either(
    mul(mul(exp(neg(square(root))), literal(slope)), gradient),
    neg(mul(mul(exp(neg(square(neg(root)))), literal(-slope)), gradient)),
  );
};

// Its approximation by a hyperbolic tangent.
const [cubic, inner] = [literal(0.044715), literal(Math.sqrt(2 / Math.PI))];
const polynomial = add(mul(square(x), cubic), literal(1));
const argument = mul(mul(x, polynomial), inner);
const onePlusTanh = add(fused("tanh")(argument), literal(1));
const tanhGeluGradient = (() => {
  const towards = mul(fused("tanh_gradient")(argument, mul(mul(x, half), g)), inner);
  const towardsSquare = mul(mul(x, towards), cubic);
  return add(
    add(add(mul(towards, polynomial), mul(towardsSquare, x)), mul(x, towardsSquare)),
    mul(mul(onePlusTanh, g), half),
  );
})();

/** `x * 0.5 * what`, in any order of the products. */
const halfOf = (what: Pattern) =>
  either(mul(mul(x, half), what), mul(mul(what, x), half), mul(x, mul(what, half)));
const exact = () => ({ approximate: "none" });
const approximate = () => ({ approximate: "tanh" });

const geluForms: Form[] = [
  form("mul", halfOf(twicePhi), "gelu", ["x"], exact),
  form(
    "add",
    add(
      mul(
        density(either(mul(mul(g, half), x), mul(mul(x, half), g), mul(mul(x, g), half))),
        literal(Math.SQRT1_2),
      ),
      either(mul(twicePhi, mul(g, half)), mul(mul(twicePhi, g), half), mul(mul(twicePhi, half), g)),
    ),
    "gelu_gradient",
    ["x", "g"],
    exact,
  ),
  form("mul", halfOf(onePlusTanh), "gelu", ["x"], approximate),
  form("add", tanhGeluGradient, "gelu_gradient", ["x", "g"], approximate),
];

export const forms: readonly Form[] = [...softmaxForms, ...normForms, ...sigmoidForms, ...geluForms];
