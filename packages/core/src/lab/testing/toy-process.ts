/* The process in which tests of sweeps do runs. */
import { serveRuns } from "../sweep/serve-runs.js";
import { toyExperiment } from "./toy-experiment.js";

await serveRuns([toyExperiment]);
