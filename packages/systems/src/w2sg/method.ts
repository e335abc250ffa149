/*
 * Weak-to-strong generalization (Burns et al. 2023): the weak supervisor learns from the truth and labels examples that
 * it has not seen; the strong student learns from those labels; the ceiling is the same model trained on the truth.
 */
import type { Tensor } from "@outgrow/engine";
import {
  type Backbone,
  backboneFeatures,
  type ClassifierParams,
  type Columns,
  compileClassifier,
  createFinetuner,
  type FinetuneOptions,
  type Finetuner,
  type Lesson,
  learn,
  type Method,
  naive,
  oneHot,
  type Random,
  type Schedule,
  type SoftLabels,
  selectRows,
  type WeakLabels,
} from "outgrow";

/** A pretrained model and the data in its own input format. */
export interface Participant {
  backbone: Backbone;
  /** Inputs of the supervisor's examples, of the student's, and of those that nobody trains on. */
  supervision: Columns;
  transfer: Columns;
  test: Columns;
}

/** How classifiers are trained, the same for all three models. */
export interface Recipe {
  epochs: number;
  batchSize: number;
  learningRate: number;
  schedule: Partial<Schedule>;
}

/** The paper's truth about a task. The student's training never reads `transfer`. */
export interface Truth {
  supervision: Int32Array;
  transfer: Int32Array;
  test: Int32Array;
}

/** Trained classifiers of one task, by what they are for. */
export interface Trained {
  params: ClassifierParams;
  /** Class probabilities on the test split. */
  test: SoftLabels;
}

/**
 * Trains the models of one participant's shape. Programs are compiled when first needed and serve all tasks, so keep
 * one workshop for each shape of model and data. Aborting `signal` stops a training at its next step.
 */
export class Workshop {
  private readonly finetuners = new Map<string, Promise<Finetuner>>();
  private readonly predictors = new Map<string, ReturnType<typeof compileClassifier>>();
  /** Of models before they are trained, which all methods and supervisors share. */
  private readonly features = new WeakMap<Participant, Promise<Tensor>>();
  /** Trainings of one program take turns, whoever asks for them at the same time. */
  private latest: Promise<unknown> = Promise.resolve();

  constructor(
    readonly classes: number,
    readonly recipe: Recipe,
  ) {}

  /** Step 3 and 4 of the card: weak soft labels for the transfer split from a model trained on the truth. */
  async trainSupervisor(
    weak: Participant,
    truth: Truth,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Trained & { weakLabels: WeakLabels }> {
    const targets = oneHot(truth.supervision, this.classes);
    const params = await this.fit(weak, weak.supervision, targets, naive, random, signal);
    return {
      params,
      test: await this.predict(weak, params, weak.test),
      weakLabels: {
        labels: await this.predict(weak, params, weak.transfer),
        source: `${weak.backbone.name}, ${truth.supervision.length} true labels`,
      },
    };
  }

  /** Step 6: a student on the transfer split, seeing nothing but the weak labels. */
  async trainStudent(
    strong: Participant,
    weakLabels: WeakLabels,
    method: Method,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Trained> {
    const params = await learn(method, weakLabels.labels, {
      fit: ({ labels, rows }: Lesson) => {
        const inputs = rows ? selectRows(strong.transfer, rows) : strong.transfer;
        return this.fit(strong, inputs, labels, method, random, signal);
      },
      label: (student: ClassifierParams) => this.predict(strong, student, strong.transfer),
      features: () => this.featuresOf(strong),
    });
    return { params, test: await this.predict(strong, params, strong.test) };
  }

  /** The same as the student's training, with the truth of the same examples for labels. */
  async trainCeiling(
    strong: Participant,
    truth: Truth,
    random: Random,
    signal?: AbortSignal,
  ): Promise<Trained> {
    const targets = oneHot(truth.transfer, this.classes);
    const params = await this.fit(strong, strong.transfer, targets, naive, random, signal);
    return { params, test: await this.predict(strong, params, strong.test) };
  }

  private featuresOf(strong: Participant): Promise<Tensor> {
    const features = this.features.get(strong) ?? backboneFeatures(strong.backbone, strong.transfer);
    this.features.set(strong, features);
    return features;
  }

  async dispose(): Promise<void> {
    for (const finetuner of this.finetuners.values()) await (await finetuner).dispose();
    for (const predictor of this.predictors.values()) await (await predictor).dispose();
  }

  private async fit(
    { backbone }: Participant,
    inputs: Columns,
    targets: SoftLabels,
    method: Method,
    random: Random,
    signal: AbortSignal | undefined,
  ): Promise<ClassifierParams> {
    const { batchSize, epochs, learningRate, schedule } = this.recipe;
    const key = `${backbone.name} ${method.name} ${targets.shape}`;
    const loss = method.loss(targets, batchSize);
    const created =
      this.finetuners.get(key) ??
      createFinetuner({ backbone, classes: this.classes, inputs, loss, batchSize });
    this.finetuners.set(key, created);
    const options: FinetuneOptions = { epochs, learningRate, schedule, random, signal };
    const finetuner = await created;
    const fitted = this.latest.then(() => finetuner.fit(backbone, inputs, targets, options));
    this.latest = fitted.catch(() => {});
    return (await fitted).params;
  }

  private async predict(
    { backbone }: Participant,
    params: ClassifierParams,
    inputs: Columns,
  ): Promise<SoftLabels> {
    const created = this.predictors.get(backbone.name) ?? compileClassifier(backbone, this.classes, inputs);
    this.predictors.set(backbone.name, created);
    return (await created)(params, inputs);
  }
}
