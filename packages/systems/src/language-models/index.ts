export * from "./stages.js";
