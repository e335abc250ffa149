/* A process that does runs of sweeps, one after another. */
import { experiments } from "@outgrow/systems";
import { serveRuns } from "outgrow";

await serveRuns(experiments);
