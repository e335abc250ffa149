/* A process whose runs do nothing, for what the queue itself takes (sweep.mjs). */
import { serveTasks } from "outgrow";

serveTasks(async () => ({ status: "done", key: "", hash: "", seconds: 0, stages: [] }));
