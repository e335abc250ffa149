export { type PenaltyRecipe, trainWithPenalty } from "./mitigation.js";
export { type Classifier, type Examples, trainStumps } from "./models.js";
export { fairnessOfFile, type ProxyTableOptions, type ProxyTableResult } from "./proxy-table.js";
export { weakProxies as study } from "./study.js";
export {
  type NameConfig,
  type People,
  PeopleWorld,
  type PeopleWorldConfig,
  peopleWorldSchema,
} from "./world.js";
