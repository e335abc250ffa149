export { ladderDefaults, pretraining, type Rung } from "./ladder.js";
export { type Participant, type Recipe, type Trained, type Truth, Workshop } from "./method.js";
export {
  fitOwnData,
  type OwnDataConfig,
  type OwnDataResult,
  type OwnRecord,
  ownDataPlan,
  ownDataSchema,
  type StudentModel,
} from "./own-data.js";
export {
  fitOwnLadder,
  type OwnLadderConfig,
  type OwnLadderRecord,
  type OwnLadderResult,
  ownLadderHeadlines,
  ownLadderPlan,
  ownLadderSchema,
  ownLadderWidths,
} from "./own-ladder.js";
export { strengthOf, summariseOwnLadder } from "./own-ladder-summary.js";
export { ownDataRecipes } from "./own-stages.js";
export { labelsJsonl, ownHeadlines, predictionsCsv, summariseOwnData } from "./own-summary.js";
export { readSavedStudent, type SavedStudent } from "./saved-student.js";
export { type Mode, recipes } from "./stages.js";
export {
  plan,
  quickConfig,
  runStudy,
  type StudentRecord,
  type StudyConfig,
  type StudyOptions,
  studySchema,
} from "./study.js";
export { pgrPicture, studyHeadlines, summarise } from "./summary.js";
