/**
 * How a logical array lies in a dense buffer, without moving any data.
 *
 * jax-js writes a matrix product as a product of two broadcast arrays and a sum, and its gradients as broadcasts of
 * broadcasts: written out, they would be a thousand times larger than their contents. So each logical axis is kept as
 * a row-major product of factors, and a factor is either *real*, a dimension of the buffer, or *virtual*, a
 * repetition that exists nowhere. Reshapes, transposes and broadcasts only rearrange factors.
 */
export interface Factor {
  /** At least 2: factors of length 1 are dropped. */
  readonly size: number;
  /** Whether it is a dimension of the buffer, rather than a repetition. */
  readonly real: boolean;
}

/** Every real factor stands exactly once in `physical` and once in `axes`. Factors are compared by identity. */
export interface View {
  /** The real factors in the order in which they lie in the buffer, slowest first. */
  readonly physical: readonly Factor[];
  /** The factors of each logical axis, slowest first. */
  readonly axes: readonly (readonly Factor[])[];
}

export const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);

export const sizes = (factors: readonly Factor[]): number[] => factors.map((factor) => factor.size);

export const shapeOf = (view: View): number[] => view.axes.map((axis) => product(sizes(axis)));

const factorsOf = (size: number, real: boolean): Factor[] => (size === 1 ? [] : [{ size, real }]);

/** The view of a buffer that lies in row-major order. */
export function contiguousView(shape: readonly number[]): View {
  const axes = shape.map((size) => factorsOf(size, true));
  return { physical: axes.flat(), axes };
}

/** A value that is the same everywhere: a buffer with one element. */
export function scalarView(shape: readonly number[]): View {
  return { physical: [], axes: shape.map((size) => factorsOf(size, false)) };
}

export function transposeView(view: View, perm: readonly number[]): View {
  return { physical: view.physical, axes: perm.map((axis) => view.axes[axis]) };
}

/** NumPy's broadcast: `newAxes` of the result are inserted, then axes of length 1 grow to `shape`. */
export function broadcastView(view: View, shape: readonly number[], newAxes: readonly number[]): View {
  const axes = [...view.axes];
  for (const axis of [...newAxes].sort((a, b) => a - b)) axes.splice(axis, 0, []);
  return {
    physical: view.physical,
    axes: axes.map((axis, i) => (axis.length ? axis : factorsOf(shape[i], false))),
  };
}

/** Brings a view to the rank and shape of a broadcast result, as NumPy does: new axes in front. */
export function broadcastTo(view: View, shape: readonly number[]): View {
  return broadcastView(
    view,
    shape,
    Array.from({ length: shape.length - view.axes.length }, (_, i) => i),
  );
}

/** The view with factors replaced by finer ones of the same total size. */
function splitFactors(view: View, parts: ReadonlyMap<Factor, readonly Factor[]>): View {
  const replace = (factors: readonly Factor[]) => factors.flatMap((factor) => parts.get(factor) ?? [factor]);
  return { physical: replace(view.physical), axes: view.axes.map(replace) };
}

/** The same data in another shape, or null where that cannot be said without moving data. */
export function reshapeView(view: View, shape: readonly number[]): View | null {
  const parts = new Map<Factor, Factor[]>();
  const flat = mergeNeighbours({ physical: view.physical, axes: [view.axes.flat()] });
  const queue = [...flat.axes[0]];
  const axes = shape.map((size) => {
    const axis: Factor[] = [];
    let missing = size;
    while (missing > 1) {
      const factor = queue.shift();
      if (factor === undefined) return null;
      if (missing % factor.size === 0) {
        axis.push(factor);
        missing /= factor.size;
      } else if (factor.size % missing === 0) {
        const slow: Factor = { size: missing, real: factor.real };
        const fast: Factor = { size: factor.size / missing, real: factor.real };
        // The factor may itself be the fast part of an earlier split: then that split gets finer.
        const origin = [...parts].find(([, pieces]) => pieces.includes(factor));
        if (origin) origin[1].splice(origin[1].indexOf(factor), 1, slow, fast);
        else parts.set(factor, [slow, fast]);
        axis.push(slow);
        queue.unshift(fast);
        missing = 1;
      } else return null;
    }
    return axis;
  });
  if (axes.some((axis) => axis === null)) return null;
  const physical = flat.physical.flatMap((factor) => parts.get(factor) ?? [factor]);
  return mergeNeighbours({ physical, axes: axes as Factor[][] });
}

/** Joins factors that are neighbours, in the same order, in an axis and in the buffer. */
export function mergeNeighbours(view: View): View {
  const follower = new Map<Factor, Factor>();
  view.physical.forEach((factor, i) => {
    if (i > 0) follower.set(view.physical[i - 1], factor);
  });
  const merged = new Map<Factor, Factor>();
  const axes = view.axes.map((axis) => {
    const joined: Factor[] = [];
    let run: Factor[] = [];
    const close = () => {
      if (run.length === 0) return;
      const factor = run.length === 1 ? run[0] : { size: product(sizes(run)), real: run[0].real };
      for (const part of run) merged.set(part, factor);
      joined.push(factor);
      run = [];
    };
    for (const factor of axis) {
      const last = run.at(-1);
      const joins = last !== undefined && (last.real ? follower.get(last) === factor : !factor.real);
      if (!joins) close();
      run.push(factor);
    }
    close();
    return joined;
  });
  return { physical: [...new Set(view.physical.map((factor) => merged.get(factor) as Factor))], axes };
}

/**
 * Cuts the axes of several views of one shape at the same places, so that they have the same numbers of factors of
 * the same sizes. Null where the cuts of an axis do not divide one another (2 x 3 against 3 x 2).
 */
export function refine(views: readonly View[]): View[] | null {
  const rank = views[0].axes.length;
  const common: number[][] = [];
  for (let axis = 0; axis < rank; axis++) {
    const cuts = new Set<number>();
    for (const view of views) {
      let inner = 1;
      for (const factor of [...view.axes[axis]].reverse()) {
        inner *= factor.size;
        cuts.add(inner);
      }
    }
    const chain = [...cuts].sort((a, b) => a - b);
    for (let i = 1; i < chain.length; i++) if (chain[i] % chain[i - 1] !== 0) return null;
    common.push(chain);
  }
  return views.map((view) => {
    const parts = new Map<Factor, Factor[]>();
    view.axes.forEach((factors, axis) => {
      let inner = 1;
      for (const factor of [...factors].reverse()) {
        const outer = inner * factor.size;
        const between = common[axis].filter((cut) => cut > inner && cut <= outer);
        if (between.length > 1) {
          const pieces = between.map((cut, i) => ({
            size: cut / (between[i - 1] ?? inner),
            real: factor.real,
          }));
          parts.set(factor, pieces.reverse());
        }
        inner = outer;
      }
    });
    return splitFactors(view, parts);
  });
}
