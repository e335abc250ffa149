export { chooseTeacher, type TeacherChoice, type TeacherProblem, type WeakLabelColumn } from "./method.js";
export { fitMixture, type MixtureHeads, mixtureProbabilities } from "./mixture-heads.js";
export { misfitGain as study } from "./study.js";
