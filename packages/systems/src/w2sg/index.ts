export { ladderDefaults, type Rung } from "./ladder.js";
export { type Participant, type Recipe, type Trained, type Truth, Workshop } from "./method.js";
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
