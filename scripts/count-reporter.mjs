import { writeFileSync } from "node:fs";

/** A vitest reporter that writes `{ passed, failed, skipped }` to the file that OUTGROW_TEST_COUNTS names. */
export default class CountReporter {
  onTestRunEnd(files, errorsOutsideTests) {
    const counts = { passed: 0, failed: errorsOutsideTests.length, skipped: 0, pending: 0 };
    for (const file of files) {
      const states = [...file.children.allTests()].map((test) => test.result().state);
      // A file that cannot be run counts as a failed test.
      if (file.state() === "failed" && !states.includes("failed")) states.push("failed");
      for (const state of states) counts[state]++;
    }
    writeFileSync(process.env.OUTGROW_TEST_COUNTS, JSON.stringify(counts));
  }
}
