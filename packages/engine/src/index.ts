export {
  type CarryProgram,
  type CompileOptions,
  compile,
  compileStep,
  compileSteps,
  type NewShapesOptions,
  type Outside,
  type Program,
} from "./compile.js";
export { type Device, devices } from "./devices.js";
export {
  MissingDeviceError,
  NonFiniteError,
  ProgramError,
  TracingError,
  UnsupportedPrimitiveError,
} from "./errors.js";
export { halfBits, halfValues } from "./float16.js";
export { type GraphOptions, type GraphProgram, openGraph } from "./graph-program.js";
export { loweredPrimitives } from "./lower/lower.js";
export type { Attribute, OnnxDType, OnnxInitializer, OnnxModel, OnnxNode, OnnxPort } from "./onnx/model.js";
export {
  type DType,
  type MapTree,
  namedLeaves,
  scalar,
  Tensor,
  type TensorData,
  type Tree,
  zeros,
} from "./tensor.js";
export { withoutReferenceCounts } from "./trace.js";
