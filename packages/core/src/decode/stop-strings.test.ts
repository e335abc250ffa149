import * as fc from "fast-check";
import { expect, test } from "vitest";
import { StoppedText } from "./stop-strings.js";

test("the text ends before the first stop string, and nothing that may be part of one is let out", () => {
  const piece = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 4 });
  const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(piece), fc.array(stop, { maxLength: 3 }), (pieces, stops) => {
      const growing = new StoppedText(stops);
      let [whole, out] = ["", ""];
      let end: number | undefined;
      for (const next of pieces) {
        out += growing.push(next);
        if (end === undefined) {
          whole += next;
          const found = stops.map((one) => whole.indexOf(one)).filter((at) => at >= 0);
          if (found.length > 0) end = Math.min(...found);
        }
        expect(growing.stopped).toBe(end !== undefined);
        expect(whole.slice(0, end).startsWith(out)).toBe(true);
        if (end === undefined) {
          // As much as can be is out: what is held begins a stop string.
          const held = whole.slice(out.length);
          expect(held === "" || stops.some((one) => one.startsWith(held))).toBe(true);
        }
      }
      out += growing.end();
      expect(out).toBe(whole.slice(0, end));
      expect(growing.text).toBe(out);
    }),
    { numRuns: 3000, seed: 4 },
  );
});
