export {
  concatenatePairs,
  confidentPairs,
  type Filter,
  type LabelledPairs,
  type Pairs,
  RewardModels,
  type RewardRecipe,
  recipeDefaults,
  selectPairs,
} from "./method.js";
export {
  deceptionOfPairs,
  hhObjectivePairs,
  type ObjectivePair,
  type OwnPairsOptions,
  type OwnPairsResult,
  readObjectivePairs,
  usablePairs,
} from "./own-pairs.js";
export {
  type LabelledReplies,
  marginProbabilities,
  type PreferenceModel,
  PreferenceModels,
  type PreferenceRecipe,
  preferenceDefaults,
  preferredFirst,
} from "./preferences.js";
export type { ReplyPair } from "./reply-world.js";
export { readPairScores, type ScoreFile } from "./score-file.js";
export {
  type DeceptionScores,
  deceptionScores,
  type PairScores,
  RELIABLE,
  type Region,
  regions,
  type ScoreOptions,
} from "./scores.js";
export { deception as study } from "./study.js";
