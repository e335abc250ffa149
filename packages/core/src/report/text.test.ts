import fc from "fast-check";
import { expect, it } from "vitest";
import { displayWidth, escapeHtml, signed, textWidth, truncate, wrapText } from "./text.js";
import { axisAround, niceTicks, tickLabel } from "./ticks.js";

it("terminal width: two columns for CJK and emoji, none for combining marks", () => {
  expect(["abc", "弱い", "강한", "e\u0301", "👩‍🔬", "→●"].map(displayWidth)).toEqual([3, 4, 4, 1, 2, 2]);
});

it("truncation keeps within its columns and inside characters", () => {
  expect(truncate("弱い教師", 5)).toBe("弱い…");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(20), (text, columns) => {
      expect(displayWidth(truncate(text, columns))).toBeLessThanOrEqual(columns);
    }),
  );
});

it("wrapped lines fit, lose nothing but spaces, and end in an ellipsis when cut", () => {
  const text = "confidence (official-code) with_a_very_long_class_name";
  const lines = wrapText(text, 100, 12, 9);
  for (const line of lines) expect(textWidth(line, 12)).toBeLessThanOrEqual(100);
  expect(lines.join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
  expect(wrapText(text, 100, 12, 2)).toHaveLength(2);
  expect(wrapText(text, 100, 12, 2)[1]).toMatch(/…$/);
});

it("escaping covers content and quoted attributes", () => {
  expect(escapeHtml(`<a b="c" d='&'>`)).toBe("&lt;a b=&quot;c&quot; d=&#39;&amp;&#39;&gt;");
});

it("numbers have a true minus sign, zero has none", () => {
  expect([-0.5, -0.001, 0.126].map((value) => signed(value))).toEqual(["−0.50", "0.00", "0.13"]);
});

it("ticks are at least three, inside the axis, evenly spaced and told apart by their labels", () => {
  const number = fc.double({ min: -1e6, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(
      number,
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
      fc.integer({ min: 3, max: 8 }),
      (low, span, count) => {
        const ticks = niceTicks(low, low + span, count);
        expect(ticks.length).toBeGreaterThanOrEqual(3);
        expect(ticks.length).toBeLessThanOrEqual(12);
        expect(ticks[0]).toBeGreaterThanOrEqual(low - span * 1e-6);
        expect(ticks[ticks.length - 1]).toBeLessThanOrEqual(low + span * (1 + 1e-6));
        expect(new Set(ticks.map(tickLabel(ticks))).size).toBe(ticks.length);
      },
    ),
  );
});

it("an axis holds every finite value and takes no air beyond its bounds", () => {
  expect(axisAround([97, null, Number.NaN, 100], [0, 100])).toEqual([96.88, 100]);
  expect(axisAround([-31, 2, Number.POSITIVE_INFINITY])[0]).toBeLessThan(-31);
  expect(axisAround([], [0, 100])).toEqual([0, 100]);
});
