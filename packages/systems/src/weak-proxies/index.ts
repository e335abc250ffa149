export { type PenaltyRecipe, trainWithPenalty } from "./mitigation.js";
export { weakProxies as study } from "./study.js";
export {
  type NameConfig,
  type People,
  PeopleWorld,
  type PeopleWorldConfig,
  peopleWorldSchema,
} from "./world.js";
