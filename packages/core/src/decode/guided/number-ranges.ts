import { UserError } from "../../errors.js";
import { characters, choice, type Expression, literal, repeat, sequence } from "./expression.js";
import { maxDigits } from "./json-values.js";

/** Bounds of a number; `-Infinity` and `Infinity` where there is none. */
export interface Bounds {
  minimum: number;
  maximum: number;
  exclusiveMinimum: number;
  exclusiveMaximum: number;
}

/** The most digits after the point of a number with bounds. */
const maxFraction = 6;
/** The most digits before the point of a number with bounds: with the fraction 15, so that no two are the same double. */
const maxWhole = maxDigits - maxFraction;

/** Integers within bounds: `[minimum, maximum]` in decimal, cut to 15 digits where a bound is missing. */
export function integersWithin({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Bounds): Expression {
  const most = 10 ** maxDigits - 1;
  const low = Math.max(Math.ceil(minimum), Math.floor(exclusiveMinimum) + 1, -most);
  const high = Math.min(Math.floor(maximum), Math.ceil(exclusiveMaximum) - 1, most);
  return decimalsWithin(BigInt(low), BigInt(high), 0);
}

/**
 * Decimal numbers within bounds, without an exponent: at most 9 digits before the point and 6 after it.
 * @throws UserError for a bound with more digits
 */
export function numbersWithin(bounds: Bounds): Expression {
  const scaled = (name: keyof Bounds, missing: bigint): bigint => {
    const bound = bounds[name];
    if (!Number.isFinite(bound)) return missing;
    const [whole, fraction = ""] = Math.abs(bound).toString().split(".");
    if (!/^[0-9]+$/.test(whole) || whole.length > maxWhole || !/^[0-9]{0,6}$/.test(fraction)) {
      throw new UserError(
        `${name} is ${bound}; a number can be held to bounds of at most 9 digits before the point and 6 after it`,
      );
    }
    const digits = BigInt(whole + fraction.padEnd(maxFraction, "0"));
    return bound < 0 ? -digits : digits;
  };
  const most = 10n ** BigInt(maxDigits) - 1n;
  const low = [scaled("minimum", -most), scaled("exclusiveMinimum", -most - 1n) + 1n];
  const high = [scaled("maximum", most), scaled("exclusiveMaximum", most + 1n) - 1n];
  return decimalsWithin(
    low[0] > low[1] ? low[0] : low[1],
    high[0] < high[1] ? high[0] : high[1],
    maxFraction,
  );
}

/** Decimals from `low` to `high`, both in units of `10 ** -fraction`; zeros at the end of a fraction may be left out. */
function decimalsWithin(low: bigint, high: bigint, fraction: number): Expression {
  const ways: Expression[] = [];
  if (low <= 0n && high >= 0n) ways.push(unsigned(0n, high, fraction));
  else if (low > 0n && low <= high) ways.push(unsigned(low, high, fraction));
  const [least, most] = [high < 0n ? -high : 1n, -low];
  if (low < 0n && least <= most) ways.push(sequence([literal("-"), unsigned(least, most, fraction)]));
  return choice(ways);
}

function unsigned(low: bigint, high: bigint, fraction: number): Expression {
  const ways: Expression[] = [];
  const unit = 10n ** BigInt(fraction);
  // By the number of digits before the point, so that both bounds have as many.
  for (let whole = 1; whole <= maxDigits - fraction; whole++) {
    const first = whole === 1 ? 0n : 10n ** BigInt(whole - 1) * unit;
    const last = 10n ** BigInt(whole) * unit - 1n;
    const from = low > first ? low : first;
    const to = high < last ? high : last;
    if (from > to) continue;
    const width = whole + fraction;
    ways.push(digitsWithin(pad(from, width), pad(to, width), whole));
  }
  return choice(ways);
}

const pad = (value: bigint, width: number) => value.toString().padStart(width, "0");

/** Digit strings from `low` to `high`, of the same length, with a point after `whole` digits. */
function digitsWithin(low: string, high: string, whole: number): Expression {
  const width = low.length;
  const known = new Map<string, Expression>();
  /** What follows the first `at` digits; the flags say whether these are those of `low` and of `high`. */
  const after = (at: number, isLow: boolean, isHigh: boolean): Expression => {
    const key = `${at} ${isLow} ${isHigh}`;
    let made = known.get(key);
    if (made === undefined) {
      made = make(at, isLow, isHigh);
      known.set(key, made);
    }
    return made;
  };
  const make = (at: number, isLow: boolean, isHigh: boolean): Expression => {
    if (at === width) return sequence([]);
    const point = at === whole ? [literal(".")] : [];
    if (!isLow && !isHigh) {
      if (at < whole) {
        return sequence([repeat(anyDigit, whole - at, whole - at), after(whole, false, false)]);
      }
      const digits = width - at;
      if (at > whole) return repeat(anyDigit, 0, digits);
      return repeat(sequence([literal("."), repeat(anyDigit, 1, digits)]), 0, 1);
    }
    const from = isLow ? Number(low[at]) : 0;
    const to = isHigh ? Number(high[at]) : 9;
    const ways: Expression[] = [];
    const add = (first: number, last: number, onLow: boolean, onHigh: boolean) => {
      const digit = characters([[0x30 + first, 0x30 + last]]);
      if (first <= last) ways.push(sequence([digit, after(at + 1, onLow, onHigh)]));
    };
    if (isLow && isHigh && from === to) add(from, to, true, true);
    else {
      if (isLow) add(from, from, true, false);
      add(isLow ? from + 1 : from, isHigh ? to - 1 : to, false, false);
      if (isHigh) add(to, to, false, true);
    }
    const more = sequence([...point, choice(ways)]);
    // The number may end here where zeros in the rest keep it within its bounds.
    const endsHere = at >= whole && (!isLow || /^0*$/.test(low.slice(at)));
    return endsHere ? choice([sequence([]), more]) : more;
  };
  return after(0, true, true);
}

const anyDigit = characters([[0x30, 0x39]]);
