/* What is known of runs, without the weight of what runs them: `outgrow/records`. */
export * from "../errors.js";
export * from "../manifest.js";
export * from "./compare-runs.js";
export * from "./home.js";
export * from "./run-record.js";
