import { dataTypes, type OnnxDType } from "../onnx/model.js";
import type { Aval } from "../trace.js";
import type { Graph, Value } from "./graph.js";

const floats: readonly OnnxDType[] = ["float16", "float32", "float64"];

/** What each type can be converted to, and back, without loss. The two 32-bit integers share their bits. */
const exactly: Readonly<Partial<Record<OnnxDType, readonly OnnxDType[]>>> = {
  bool: ["uint8", "int32", "uint32", "int64", "float16", "float32", "float64"],
  int32: ["uint32", "int64", "float64"],
  uint32: ["int32", "int64", "float64"],
  float16: ["float32", "float64"],
  float32: ["float64"],
};

const limits = { int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, 2 ** 32 - 1] } as const;

export const isFloat = (dtype: OnnxDType): boolean => floats.includes(dtype);

/**
 * The value in another element type, in the layout that it has, as jax-js converts: floats become integers by
 * dropping the fraction, those out of range the nearest limit and NaN 0; integers wrap around.
 */
export function cast(graph: Graph, scaled: Value, dtype: OnnxDType): Value {
  if (scaled.dtype === dtype) return scaled;
  const value = graph.settle(scaled);
  const known = graph.knownScalar(value);
  if (known !== undefined) {
    return { ...graph.scalar(dtype, converted(known, dtype, value.dtype)), view: value.view };
  }
  const origin = graph.castOrigin(value.name);
  if (origin?.dtype === dtype && exactly[dtype]?.includes(value.dtype)) return { ...value, ...origin };
  if (isFloat(value.dtype) && (dtype === "int32" || dtype === "uint32"))
    return saturated(graph, value, dtype);
  // ONNX Runtime has no conversion of its own between these two that rounds once.
  if (value.dtype === "uint32" && dtype === "float16")
    return cast(graph, cast(graph, value, "float32"), dtype);
  return convert(graph, value, dtype);
}

function convert(graph: Graph, value: Value, dtype: OnnxDType): Value {
  const [name] = graph.node("Cast", [value.name], [graph.shapeOf(value.name)], { to: dataTypes[dtype] });
  graph.noteCast(name, { name: value.name, dtype: value.dtype });
  return { name, dtype, view: value.view };
}

/** Float64 holds the limits of the integers, which float32 does not. */
function saturated(graph: Graph, value: Value, dtype: "int32" | "uint32"): Value {
  const shape = graph.shapeOf(value.name);
  const [least, most] = limits[dtype].map((limit) => graph.scalar("float64", limit).name);
  const wide = convert(graph, value, "float64").name;
  const [missing] = graph.node("IsNaN", [wide], [shape]);
  const [number] = graph.node("Where", [missing, graph.scalar("float64", 0).name, wide], [shape]);
  const [name] = graph.node("Clip", [number, least, most], [shape]);
  return convert(graph, { name, dtype: "float64", view: value.view }, dtype);
}

/** The same for one number. */
function converted(value: number, dtype: OnnxDType, from: OnnxDType): number {
  if (dtype === "bool") return value === 0 ? 0 : 1;
  if (dtype !== "int32" && dtype !== "uint32") return value;
  const [least, most] = limits[dtype];
  const whole = Math.trunc(value) || 0;
  if (isFloat(from)) return Math.min(Math.max(whole, least), most);
  return dtype === "int32" ? whole | 0 : whole >>> 0;
}

const lattice = ["bool", "uint32", "int32", "float16", "float32", "float64"];

/** The type in which jax-js combines two arrays: a weakly typed one, a number of the program, follows the other. */
export function promoted(a: Aval, b: Aval): OnnxDType {
  const higher = (one: string, other: string) =>
    lattice.indexOf(one) > lattice.indexOf(other) ? one : other;
  if (a.weakType === b.weakType) return higher(a.dtype, b.dtype) as OnnxDType;
  return higher((a.weakType ? b : a).dtype, "uint32") as OnnxDType;
}
