export * from "./data/columns.js";
export * from "./data/index.js";
export * from "./data/length-buckets.js";
export * from "./data/mixing.js";
export { namesHint } from "./data/nearest.js";
export * from "./data/packing.js";
export * from "./decode/cached-decoder.js";
export * from "./decode/combined-decoder.js";
export * from "./decode/decoder.js";
export * from "./decode/dynamic-fusion.js";
export * from "./decode/generation.js";
export * from "./decode/generator.js";
export * from "./decode/generator-sampler.js";
export * from "./decode/guided/constraints.js";
export * from "./decode/logits-arithmetic.js";
export * from "./decode/search/beam-search.js";
export { bestOfN, selfConsistency, type Vote, vote } from "./decode/search/best-of-n.js";
export * from "./decode/search/monte-carlo.js";
export { type StepOptions, stepsEndWith } from "./decode/search/steps.js";
export * from "./decode/search/stepwise-beam.js";
export * from "./decode/search/tree-search.js";
export * from "./errors.js";
export * from "./files.js";
export * from "./hub/resolve-model.js";
export * from "./lab/artifacts.js";
export * from "./lab/atlas.js";
export * from "./lab/cache.js";
export * from "./lab/code-version.js";
export * from "./lab/compare-runs.js";
export * from "./lab/content-hash.js";
export * from "./lab/environment.js";
export * from "./lab/experiment.js";
export * from "./lab/home.js";
export * from "./lab/json-lines.js";
export * from "./lab/lab.js";
export * from "./lab/lock.js";
export * from "./lab/metrics.js";
export * from "./lab/output.js";
export * from "./lab/reproduce.js";
export * from "./lab/run.js";
export * from "./lab/run-folder.js";
export * from "./lab/run-record.js";
export * from "./lab/stage.js";
export * from "./lab/study.js";
export * from "./lab/study-report.js";
export * from "./lab/sweep/display.js";
export * from "./lab/sweep/executors.js";
export * from "./lab/sweep/planning-lab.js";
export { serveTasks } from "./lab/sweep/process-pool.js";
export * from "./lab/sweep/report.js";
export * from "./lab/sweep/results.js";
export * from "./lab/sweep/serve-runs.js";
export * from "./lab/sweep/spec.js";
export * from "./lab/sweep/sweep.js";
export * from "./manifest.js";
export * from "./measure/accuracy.js";
export * from "./measure/agreement.js";
export * from "./measure/audit.js";
export * from "./measure/bootstrap.js";
export * from "./measure/calibration.js";
export * from "./measure/claims.js";
export * from "./measure/class-metrics.js";
export * from "./measure/confident-learning.js";
export * from "./measure/correlation.js";
export * from "./measure/disparity.js";
export * from "./measure/expansion.js";
export * from "./measure/expansion-audit.js";
export {
  calibrateMatrix,
  clippedMatrix,
  type FairnessMatrix,
  fairnessMatrix,
  oddsGap,
  opportunityGap,
  parityGap,
} from "./measure/fairness.js";
export * from "./measure/gamma-function.js";
export * from "./measure/generated-text.js";
export * from "./measure/hidden-group-fairness.js";
export * from "./measure/measured.js";
export * from "./measure/measured.js";
export * from "./measure/misfit.js";
export * from "./measure/pgr.js";
export * from "./measure/pgr.js";
export { estimateProxyErrors, type ProxyErrorOptions, type ProxyErrors } from "./measure/proxy-errors.js";
export * from "./measure/rank-correlation.js";
export * from "./measure/reward-margins.js";
export * from "./methods/index.js";
export * from "./models/attention.js";
export * from "./models/checkpoint.js";
export * from "./models/classifier.js";
export * from "./models/export.js";
export * from "./models/gguf/index.js";
export * from "./models/hugging-face/index.js";
export * from "./models/language-model.js";
export * from "./models/lora.js";
export * from "./models/mlp.js";
export * from "./models/params.js";
export * from "./models/safetensors.js";
export * from "./models/sequence-log-probs.js";
export * from "./models/text-backbone.js";
export * from "./models/token-log-probs.js";
export * from "./models/transformer.js";
export * from "./models/transformer-config.js";
export * from "./random.js";
export * from "./remote/remote-error.js";
export * from "./remote/remote-model.js";
export { type AuditWords, auditReport } from "./report/audit-report.js";
export { type DisparityWords, disparitySection } from "./report/disparity-section.js";
export { expansionSection } from "./report/expansion-section.js";
export * as report from "./report/index.js";
export * from "./serve/limits.js";
export * from "./serve/served-model.js";
export * from "./serve/server.js";
export * from "./serve/text-service.js";
export * from "./serve/threaded-model.js";
export type { Features } from "./supervise/features.js";
export * from "./supervise/lbfgs.js";
export * from "./supervise/least-squares.js";
export * from "./supervise/logistic-regression.js";
export * from "./supervise/neighbours.js";
export * from "./supervise/ngram.js";
export * from "./supervise/principal-components.js";
export * from "./supervise/several.js";
export {
  collectTerms,
  type TermVocabulary,
  type TermVocabularyOptions,
  tfIdf,
} from "./supervise/tf-idf.js";
export * from "./supervise/weak-labels.js";
export type {
  LanguageModelCourse,
  StepMeasures,
  TrainingCourse,
  TrainingHooks,
} from "./train/answer-training.js";
export * from "./train/batch-trainer.js";
export type { InvalidExamples, TextOrIds } from "./train/checked-examples.js";
export * from "./train/checkpoint-arithmetic.js";
export * from "./train/distil/distil.js";
export * from "./train/distil/losses.js";
export * from "./train/finetune.js";
export * from "./train/finetune-weighing.js";
export * from "./train/flat.js";
export * from "./train/language-loss.js";
export * from "./train/loss.js";
export * from "./train/optimizer.js";
export * from "./train/policy/advantages.js";
export * from "./train/policy/answer-sampler.js";
export * from "./train/policy/losses.js";
export * from "./train/policy/policy-learner.js";
export * from "./train/policy/policy-train.js";
export * from "./train/policy/policy-training.js";
export * from "./train/preference/kto-train.js";
export * from "./train/preference/losses.js";
export * from "./train/preference/preference-train.js";
export * from "./train/preference/reward-model.js";
export * from "./train/pretrain.js";
export * from "./train/pretrain-features.js";
export * from "./train/pretrain-text.js";
export * from "./train/schedule.js";
export * from "./train/supervised-finetuning.js";
export * from "./train/train-language-model.js";
export * from "./train/trainable.js";
export * from "./train/trainer.js";
export * from "./worlds/arith-chain.js";
export * from "./worlds/arith-corruption.js";
export type { ArithmeticStep, Operation } from "./worlds/arith-story.js";
export * from "./worlds/arith-verifier.js";
export * from "./worlds/board-puzzles.js";
export * from "./worlds/chess.js";
export * from "./worlds/config.js";
export {
  type AgreementItem,
  type CorpusDocument,
  type GrammarCorpusConfig,
  type GrammarCorpusWorld,
  grammarCorpus,
  grammarCorpusSchema,
  type RetrievalSample,
} from "./worlds/grammar-corpus.js";
export * from "./worlds/index.js";
export * from "./worlds/king-path.js";
export * from "./worlds/latent-features.js";
export * from "./worlds/lichess-puzzles.js";
export {
  antithesis,
  followsPrinciple,
  type Principles,
  statePrinciples,
} from "./worlds/preference-principles.js";
export {
  attributeNames,
  freeTextWords,
  harmRelations,
  type ResponseAttributes,
  type ResponsePolicy,
  responsePolicies,
} from "./worlds/preference-text.js";
export type {
  PreferenceObjective,
  PreferenceVectors,
  VectorAnnotator,
  VectorPairs,
} from "./worlds/preference-vectors.js";
export * from "./worlds/preference-world.js";
export { type WorldSplit, worldSplits } from "./worlds/splits.js";
export * from "./worlds/table-walk.js";
export * from "./worlds/world.js";
