import type { SoftLabels } from "../data/soft-labels.js";
import { UserError } from "../errors.js";
import type { LbfgsOptions } from "./lbfgs.js";
import { type FittedClassifier, fitLogistic, predictProbabilities } from "./logistic-regression.js";
import { collectTerms, type TermVocabulary, type TermVocabularyOptions, tfIdf } from "./tf-idf.js";

/** A tenth of the default for dense features: rows of length 1 want larger weights. */
export const ngramL2 = 1e-4;

export interface NgramTraining extends TermVocabularyOptions, LbfgsOptions {
  /** The labelled texts. */
  texts: readonly string[];
  /** Classes [n] or distributions [n, classes] of these texts. */
  labels: SoftLabels | Int32Array;
  classes: number;
  /** Texts the vocabulary is taken from, e.g. also those to be labelled later. Default: the labelled texts. */
  unlabelled?: readonly string[];
  /** Weight of the squared weights beside the mean cross-entropy. Default {@link ngramL2}. */
  l2?: number;
}

/** What speaks most for a class, strongest first. */
export interface ClassTerms {
  class: number;
  terms: { term: string; weight: number }[];
}

export interface NgramClassifier {
  vocabulary: TermVocabulary;
  fitted: FittedClassifier;
  /** Probabilities [n, classes]. A text without a known word gets those of the bias alone. */
  predict(texts: readonly string[]): SoftLabels;
  /** The `count` (10) terms with the largest weights of each class. */
  describe(count?: number): ClassTerms[];
}

/**
 * A small supervisor for text: logistic regression on the tf-idf of single words and neighbouring pairs.
 * Deterministic. Refuses (UserError) labels that do not fit the texts, and texts that share no word.
 */
export function trainNgramClassifier(training: NgramTraining): NgramClassifier {
  const { texts, labels, classes, unlabelled = texts, minDocumentFrequency, maxFeatures } = training;
  const { l2 = ngramL2, tolerance, maxIterations, memory } = training;
  const labelled = labels instanceof Int32Array ? labels.length : labels.shape[0];
  if (labelled !== texts.length) throw new UserError(`${texts.length} texts, but labels of ${labelled}`);
  const vocabulary = collectTerms(unlabelled, { minDocumentFrequency, maxFeatures });
  const features = tfIdf(vocabulary, texts);
  return ngramClassifier(
    vocabulary,
    fitLogistic(features, labels, { classes, l2, tolerance, maxIterations, memory }),
  );
}

/** The classifier of a vocabulary and the weights fitted on it, e.g. ones that were stored. */
export function ngramClassifier(vocabulary: TermVocabulary, fitted: FittedClassifier): NgramClassifier {
  return {
    vocabulary,
    fitted,
    predict: (texts) => predictProbabilities(fitted, tfIdf(vocabulary, texts)),
    describe: (count = 10) =>
      Array.from(fitted.bias, (_, k) => ({
        class: k,
        terms: vocabulary.terms
          .map((term, column) => ({ term, weight: fitted.weights[column * fitted.bias.length + k] }))
          .sort((a, b) => b.weight - a.weight)
          .slice(0, count),
      })),
  };
}
