export { agreeing, flipped, labelsOf, logisticLoss, shareOf } from "./labels.js";
export { type LinearModel, type LinearTraining, linearOutputs, trainLinear } from "./linear.js";
export { type Measurement, type NetworkTraining, networkOutputs, trainNetwork } from "./network.js";
export { distinctOf, type Patches, patchesOf, patchSums } from "./patches.js";
export { linearToNonlinear as study } from "./study.js";
export { kappaOf, type PatchSamples, PatchWorld, type PatchWorldConfig, type SampleType } from "./world.js";
