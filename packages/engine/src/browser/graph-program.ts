import { ProgramError } from "../errors.js";
import type { GraphProgram } from "../graph-program.js";
import type { OnnxModel } from "../onnx/model.js";

export type { GraphOptions, GraphProgram } from "../graph-program.js";

/** In a browser programs run on jax-js, which does not read ONNX. */
export async function openGraph(model: OnnxModel): Promise<GraphProgram> {
  throw new ProgramError(
    `The program "${model.name}" is a graph of ONNX operators, which cannot run in a browser; compile() makes programs that can.`,
  );
}
