import { createRandom, type Random } from "outgrow";

/** Points of polylines in the unit square, y downwards. */
const strokes = {
  "0": [circle(0.5, 0.5, 0.22, 0.32)],
  "1": [
    [
      [0.4, 0.3],
      [0.52, 0.18],
      [0.52, 0.82],
    ],
  ],
  "3": [[...arc(0.48, 0.34, 0.2, 0.16, -150, 90), ...arc(0.48, 0.66, 0.22, 0.16, -90, 150)]],
  "7": [
    [
      [0.28, 0.2],
      [0.72, 0.2],
      [0.42, 0.82],
    ],
  ],
  "9": [circle(0.48, 0.36, 0.18, 0.17), [...arc(0.48, 0.36, 0.18, 0.17, 0, 0), [0.6, 0.82]]],
} satisfies Record<string, number[][][]>;
export type Glyph = keyof typeof strokes;

function arc(x: number, y: number, width: number, height: number, from: number, to: number): number[][] {
  const steps = Math.max(1, Math.round(Math.abs(to - from) / 40));
  return Array.from({ length: steps + 1 }, (_, k) => {
    const angle = ((from + ((to - from) * k) / steps) * Math.PI) / 180;
    return [x + width * Math.cos(angle), y + height * Math.sin(angle)];
  });
}
function circle(x: number, y: number, width: number, height: number): number[][] {
  return arc(x, y, width, height, 0, 360);
}

/**
 * A glyph drawn by hand on a grid of `size` × `size`, values about 0 to 1: rotated (sd 0.12 rad), scaled (10 %), sheared
 * (0.18), shifted (5 %), vertices moved (2 %), half-width of the stroke 0.035 to 0.06, with noise of sd 0.1 on each pixel.
 */
export function drawGlyph(glyph: Glyph, size: number, random: Random): Float64Array {
  const shape = random.stream("shape");
  const rotation = 0.12 * shape.normal();
  const scale = 1 + 0.1 * shape.normal();
  const shear = 0.18 * shape.normal();
  const [right, down] = [0.05 * shape.normal(), 0.05 * shape.normal()];
  const half = 0.035 + 0.025 * shape.uniform();
  const edge = 0.012;
  const [cos, sin] = [Math.cos(rotation) * scale, Math.sin(rotation) * scale];
  const image = new Float64Array(size * size);
  for (const line of strokes[glyph]) {
    const vertices = line.map(([x, y]) => {
      const [a, b] = [x - 0.5 + 0.02 * shape.normal(), y - 0.5 + 0.02 * shape.normal()];
      const sheared = a - shear * b;
      return [0.5 + right + cos * sheared - sin * b, 0.5 + down + sin * sheared + cos * b];
    });
    for (let k = 1; k < vertices.length; k++) {
      drawSegment(image, size, vertices[k - 1], vertices[k], half, edge);
    }
  }
  const noise = random.stream("noise");
  for (let k = 0; k < image.length; k++) image[k] += 0.1 * noise.normal();
  return image;
}

function drawSegment(
  image: Float64Array,
  size: number,
  from: number[],
  to: number[],
  half: number,
  edge: number,
) {
  const reach = half + 4 * edge;
  const range = (axis: number) => [
    Math.max(0, Math.floor((Math.min(from[axis], to[axis]) - reach) * size)),
    Math.min(size - 1, Math.ceil((Math.max(from[axis], to[axis]) + reach) * size)),
  ];
  const [left, right] = range(0);
  const [top, bottom] = range(1);
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = dx * dx + dy * dy || 1;
  for (let row = top; row <= bottom; row++) {
    for (let column = left; column <= right; column++) {
      const [x, y] = [(column + 0.5) / size - from[0], (row + 0.5) / size - from[1]];
      const at = Math.max(0, Math.min(1, (x * dx + y * dy) / length));
      const [across, down] = [x - at * dx, y - at * dy];
      const distance = Math.sqrt(across * across + down * down);
      const ink = 1 / (1 + Math.exp((distance - half) / edge));
      image[row * size + column] = Math.max(image[row * size + column], ink);
    }
  }
}

export interface LabelledImages {
  points: Float64Array[];
  /** -1 or +1. */
  truth: Int8Array;
}

/** `count` images, the first class and the second by turns. The same seed and size give the same shapes at every size. */
export function drawGlyphs(
  pair: readonly [Glyph, Glyph],
  count: number,
  size: number,
  seed: string,
): LabelledImages {
  const random = createRandom(seed);
  const truth = Int8Array.from({ length: count }, (_, row) => (row % 2 === 0 ? -1 : 1));
  const points = Array.from(truth, (sign, row) =>
    drawGlyph(pair[sign > 0 ? 1 : 0], size, random.stream(row)),
  );
  return { points, truth };
}

/** Images of which the left half (-1) or the right half (+1) is 1, with noise of sd 0.1. */
export function drawHalves(count: number, size: number, random: Random): LabelledImages {
  const truth = Int8Array.from({ length: count }, (_, row) => (row % 2 === 0 ? -1 : 1));
  const points = Array.from(truth, (sign) =>
    Float64Array.from({ length: size * size }, (_, k) => {
      const isRight = k % size >= size / 2;
      return Number(isRight === sign > 0) + 0.1 * random.normal();
    }),
  );
  return { points, truth };
}

/** The labels with the same share of each class turned, so that classes stay balanced. */
export function flipLabels(truth: Int8Array, share: number, random: Random): Int8Array {
  const labels = truth.slice();
  for (const sign of [-1, 1]) {
    const rows = Array.from(truth.keys()).filter((row) => truth[row] === sign);
    const order = random.stream(sign).permutation(rows.length);
    for (let k = 0; k < Math.round(share * rows.length); k++) labels[rows[order[k]]] = -sign;
  }
  return labels;
}
