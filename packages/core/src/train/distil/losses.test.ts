import { Tensor } from "@outgrow/engine";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../random.js";
import { expectAgreement, type Numbers, valueAndGradients } from "../testing/against-loops.js";
import { type Divergence, type DivergenceOptions, divergence } from "./losses.js";

const [rows, size] = [3, 5];
const random = createRandom(8);
const logits = (scale = 1.5) => new Tensor(random.normals(rows * size, scale), [rows, size]);
const inputs = { student: logits(), teacher: logits() };

const softmax = (z: ArrayLike<number>) => {
  const exps = Array.from(z, (x) => Math.exp(x - Math.max(...Array.from(z))));
  const sum = exps.reduce((a, b) => a + b);
  return exps.map((x) => x / sum);
};
const kl = (p: number[], q: number[]) =>
  p.reduce((sum, x, i) => sum + (x === 0 ? 0 : x * Math.log(x / q[i])), 0);

function slow(kind: Divergence, { temperature = 1, topK }: DivergenceOptions = {}) {
  return ({ student, teacher }: Numbers) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      const of = (z: Float64Array) =>
        softmax(z.slice(row * size, (row + 1) * size).map((x) => x / temperature));
      let [s, t] = [of(student), of(teacher)];
      if (topK !== undefined) {
        const order = t.map((_, i) => i).sort((a, b) => t[b] - t[a]);
        const lump = (p: number[]) => [
          ...order.slice(0, topK).map((i) => p[i]),
          order.slice(topK).reduce((rest, i) => rest + p[i], 0),
        ];
        [s, t] = [lump(s), lump(t)];
      }
      if (kind.name === "forward") sum += kl(t, s);
      else if (kind.name === "reverse") sum += kl(s, t);
      else {
        const { beta = 0.5 } = kind;
        const mixture = t.map((x, i) => beta * x + (1 - beta) * s[i]);
        sum += beta * kl(t, mixture) + (1 - beta) * kl(s, mixture);
      }
    }
    return sum / rows;
  };
}

const kinds: Divergence[] = [
  { name: "forward" },
  { name: "reverse" },
  { name: "jensen-shannon" },
  { name: "jensen-shannon", beta: 0.1 },
];

describe("divergence", () => {
  test.each(kinds)("$name $beta is its formula, with its gradient by the student", async (kind) => {
    for (const options of [{}, { temperature: 2.5 }, { topK: 2 }, { temperature: 0.7, topK: 4 }]) {
      await expectAgreement(
        (x) => divergence(kind, x.student, x.teacher, options).mean(),
        slow(kind, options),
        inputs,
        { by: ["student"] },
      );
    }
  });

  test("no gradient goes to the teacher", async () => {
    for (const kind of kinds) {
      const { gradients } = await valueAndGradients(
        (x) => divergence(kind, x.student, x.teacher).mean(),
        inputs,
      );
      expect(gradients.teacher.data.every((slope) => slope === 0)).toBe(true);
    }
  });

  test("of equal distributions it is 0 with the gradient 0, whatever is added to the logits", async () => {
    const moved = new Tensor(inputs.teacher.data.map((x) => x + 3) as Float32Array<ArrayBuffer>, [
      rows,
      size,
    ]);
    for (const kind of kinds) {
      for (const options of [{}, { topK: 2 }]) {
        const { value, gradients } = await valueAndGradients(
          (x) => divergence(kind, x.student, x.teacher, options).mean(),
          { student: moved, teacher: inputs.teacher },
        );
        expect(value).toBeCloseTo(0, 6);
        for (const slope of gradients.student.data) expect(slope).toBeCloseTo(0, 6);
      }
    }
  });

  test("logits thousands apart give finite values and gradients; Jensen-Shannon never more than log 2", async () => {
    const far = {
      student: new Tensor(Float32Array.of(5000, 0, 0, 0, -5000), [1, 5]),
      teacher: new Tensor(Float32Array.of(-5000, 0, 0, 0, 5000), [1, 5]),
    };
    for (const kind of kinds) {
      for (const options of [{}, { topK: 2 }]) {
        const { value, gradients } = await valueAndGradients(
          (x) => divergence(kind, x.student, x.teacher, options).mean(),
          far,
        );
        expect(Number.isFinite(value)).toBe(true);
        expect(gradients.student.data.every(Number.isFinite)).toBe(true);
        if (kind.name === "jensen-shannon") expect(value).toBeLessThanOrEqual(Math.log(2) + 1e-6);
      }
    }
  });

  test("taking tokens together never raises it", async () => {
    for (const kind of kinds) {
      const of = async (options: DivergenceOptions) =>
        (await valueAndGradients((x) => divergence(kind, x.student, x.teacher, options).mean(), inputs))
          .value;
      const values = await Promise.all([{ topK: 1 }, { topK: 2 }, { topK: 3 }, { topK: 4 }, {}].map(of));
      for (let i = 1; i < values.length; i++) expect(values[i - 1]).toBeLessThanOrEqual(values[i] + 1e-6);
    }
  });

  test("what is out of range is refused", async () => {
    const refused = (kind: Divergence, options?: DivergenceOptions) =>
      valueAndGradients((x) => divergence(kind, x.student, x.teacher, options).mean(), inputs);
    await expect(refused({ name: "jensen-shannon", beta: 1 })).rejects.toThrow(/beta of a Jensen-Shannon/);
    await expect(refused({ name: "forward" }, { temperature: 0 })).rejects.toThrow(/temperature is 0/);
    await expect(refused({ name: "forward" }, { topK: 5 })).rejects.toThrow(/from 1 to 4 of the 5/);
  });
});
