/** Value of a smooth function at `point`; its gradient is written into `gradient`. */
export type Objective = (point: Float64Array, gradient: Float64Array) => number;

export interface LbfgsOptions {
  /** Stop when no entry of the gradient exceeds this. Default 1e-6. */
  tolerance?: number;
  /** Default 500. */
  maxIterations?: number;
  /** Pairs of steps and gradient changes kept. Default 10. */
  memory?: number;
  /** Divides by an estimate of the Hessian at the start, or one that holds everywhere, in place. Default: 1. */
  precondition?: (values: Float64Array) => void;
}

export interface LbfgsResult {
  point: Float64Array;
  value: number;
  iterations: number;
  /** Whether the tolerance was met. */
  converged: boolean;
}

/** Sufficient decrease asked of a step (Armijo), as in Nocedal and Wright 2006, section 3.1. */
const sufficientDecrease = 1e-4;
const maxHalvings = 40;

/**
 * Minimises a smooth convex function from `start` by L-BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5)
 * with steps halved until they decrease the function enough. Deterministic.
 */
export function minimise(objective: Objective, start: Float64Array, options: LbfgsOptions = {}): LbfgsResult {
  const { tolerance = 1e-6, maxIterations = 500, memory = 10, precondition } = options;
  const history: Curvature[] = [];
  let point: Float64Array = start.slice();
  let gradient: Float64Array = new Float64Array(point.length);
  let value = objective(point, gradient);

  let iterations = 0;
  for (; iterations < maxIterations && largest(gradient) > tolerance; iterations++) {
    const direction = descentDirection(gradient, history, precondition);
    const slope = dot(direction, gradient);
    const nextGradient = new Float64Array(point.length);
    // Before any curvature is known, the first step has length 1 at most.
    let step = history.length > 0 || precondition ? 1 : Math.min(1, 1 / Math.sqrt(dot(gradient, gradient)));
    let next = moved(point, direction, step);
    let nextValue = objective(next, nextGradient);
    for (let halvings = 0; !(nextValue <= value + sufficientDecrease * step * slope); halvings++) {
      // Decreases below the rounding of the value cannot be seen: this is the minimum as far as can be told.
      if (halvings === maxHalvings) return { point, value, iterations, converged: false };
      step /= 2;
      next = moved(point, direction, step);
      nextValue = objective(next, nextGradient);
    }
    remember(history, memory, moved(next, point, -1), moved(nextGradient, gradient, -1));
    point = next;
    value = nextValue;
    gradient = nextGradient;
  }
  return { point, value, iterations, converged: largest(gradient) <= tolerance };
}

/** A step s, the change y it made to the gradient, and 1 / (s y). */
interface Curvature {
  s: Float64Array;
  y: Float64Array;
  rho: number;
}

function remember(history: Curvature[], memory: number, s: Float64Array, y: Float64Array) {
  const sy = dot(s, y);
  if (sy <= Number.EPSILON * dot(y, y)) return; // flat: no curvature to learn
  history.push({ s, y, rho: 1 / sy });
  if (history.length > memory) history.shift();
}

/** Minus the inverse Hessian's estimate times the gradient, by the two-loop recursion. */
function descentDirection(
  gradient: Float64Array,
  history: readonly Curvature[],
  precondition: LbfgsOptions["precondition"],
): Float64Array {
  const direction = gradient.map((g) => -g);
  const alphas = new Float64Array(history.length);
  for (let h = history.length - 1; h >= 0; h--) {
    const { s, y, rho } = history[h];
    alphas[h] = rho * dot(s, direction);
    addTo(direction, y, -alphas[h]);
  }
  precondition?.(direction);
  const newest = history.at(-1);
  if (newest) {
    const bent = newest.y.slice();
    precondition?.(bent);
    const scale = 1 / (newest.rho * dot(newest.y, bent));
    for (let i = 0; i < direction.length; i++) direction[i] *= scale;
  }
  history.forEach(({ s, y, rho }, h) => {
    addTo(direction, s, alphas[h] - rho * dot(y, direction));
  });
  return direction;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function addTo(target: Float64Array, direction: Float64Array, scale: number) {
  for (let i = 0; i < target.length; i++) target[i] += scale * direction[i];
}

function moved(from: Float64Array, direction: Float64Array, scale: number): Float64Array {
  const to = from.slice();
  addTo(to, direction, scale);
  return to;
}

function largest(values: Float64Array): number {
  let size = 0;
  for (const value of values) size = Math.max(size, Math.abs(value));
  return size;
}
