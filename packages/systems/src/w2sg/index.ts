export { ladderDefaults, type Rung } from "./ladder.js";
export { type Participant, type Recipe, type Trained, type Truth, Workshop } from "./method.js";
export {
  fitOwnData,
  type OwnDataConfig,
  type OwnDataResult,
  type OwnRecord,
  ownDataPlan,
  ownDataRecipes,
  ownDataSchema,
} from "./own-data.js";
export { predictionsCsv, summariseOwnData } from "./own-summary.js";
export {
  type Mode,
  plan,
  quickConfig,
  recipes,
  runStudy,
  type StudentRecord,
  type StudyConfig,
  type StudyOptions,
  studySchema,
} from "./study.js";
export { pgrPicture, summarise } from "./summary.js";
