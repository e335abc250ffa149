import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { halfBits, halfValues } from "./float16.js";
import { Float16ArrayStandIn } from "./float16-array.js";
import { Tensor } from "./tensor.js";

describe("float16", () => {
  it("keeps all its 63,488 finite numbers, the infinities and a NaN", () => {
    const bits = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
    const values = halfValues(bits);
    const again = halfBits(values);
    for (const [i, value] of values.entries()) {
      if (Number.isNaN(value)) expect(again[i]).toBe(0x7e00);
      else if (again[i] !== i) expect.fail(`${value} has the bits ${i} and ${again[i]}`);
    }
  });

  it("has the numbers that IEEE 754 gives as examples", () => {
    const examples: [number, number][] = [
      [0x3c00, 1],
      [0xc000, -2],
      [0x7bff, 65504],
      [0x0400, 2 ** -14],
      [0x03ff, 1023 * 2 ** -24],
      [0x0001, 2 ** -24],
      [0x3555, 0.333251953125],
    ];
    for (const [bits, value] of examples) expect(halfValues([bits])[0]).toBe(value);
    expect(Object.is(halfValues([0x8000])[0], -0)).toBe(true);
  });

  it("rounds to the nearest number, and to the even one of two that are as near", () => {
    const finite = Float32Array.from(halfValues(Uint16Array.from({ length: 0x7c00 }, (_, i) => i)));
    fc.assert(
      fc.property(fc.nat(0x7bfe), fc.double({ min: 0, max: 1, noNaN: true }), (i, share) => {
        const value = finite[i] + share * (finite[i + 1] - finite[i]);
        const [above, below] = [finite[i + 1] - value, value - finite[i]];
        const nearest = above < below || (above === below && i % 2 === 1) ? i + 1 : i;
        expect(halfBits([value, -value])).toEqual(Uint16Array.of(nearest, nearest | 0x8000));
      }),
    );
    expect(halfBits([65519.99, 65520, 2 ** -25, 2 ** -25 + 1e-12])).toEqual(
      Uint16Array.of(0x7bff, 0x7c00, 0, 1),
    );
  });

  it("is what a tensor's bits stand for", () => {
    expect(new Tensor(halfBits([0.1]), []).dtype).toBe("float16");
    expect(new Tensor(halfBits([0.1]), []).item()).toBeCloseTo(0.1, 4);
    expect(() => new Tensor(new Int16Array(3) as never)).toThrow(
      /Uint16Array \(float16\).*given: Int16Array/,
    );
  });
});

describe("the stand-in for Float16Array", () => {
  const Half = Float16ArrayStandIn as unknown as new (
    ...args: unknown[]
  ) => { [index: number]: number; buffer: ArrayBuffer; length: number; fill(value: number): unknown };

  it("reads and writes numbers in a buffer that holds their bits", () => {
    const half = new Half([1, -2, 1 / 3]);
    expect([half[0], half[1], half[2]]).toEqual([1, -2, 0.333251953125]);
    half[1] = 65504;
    expect(new Uint16Array(half.buffer)).toEqual(Uint16Array.of(0x3c00, 0x7bff, 0x3555));
    const part = new Half(half.buffer, 2, 2);
    expect([part.length, part[0]]).toEqual([2, 65504]);
    part.fill(2);
    expect(half[2]).toBe(2);
    expect(new Half(4).length).toBe(4);
    expect(part instanceof Half).toBe(true);
    expect((new Uint16Array(2) as unknown) instanceof Half).toBe(false);
  });
});
