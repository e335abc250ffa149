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
export { type DeceptionScores, deceptionScores, type PairScores, type Region, regions } from "./scores.js";
export { deception as study } from "./study.js";
