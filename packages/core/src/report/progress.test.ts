import { describe, expect, it } from "vitest";
import { createProgress, formatDuration, silentProgress } from "./progress.js";
import { displayWidth } from "./text.js";

function setUp({
  isTTY,
  columns,
  plan,
}: {
  isTTY: boolean;
  columns?: number;
  plan?: { name: string; weight: number }[];
}) {
  const written: string[] = [];
  const time = { now: 0 };
  const stream = { isTTY, columns, write: (text: string) => written.push(text) };
  const progress = createProgress(stream, { plan, clock: () => time.now });
  const last = () => written.at(-1) ?? "";
  return { written, time, progress, last };
}

const PLAN = [
  { name: "weak", weight: 1 },
  { name: "student", weight: 3 },
];

describe("on a terminal", () => {
  it("shows the weighted share, the stage, its detail and the time left at the observed rate", () => {
    const { progress, time, last } = setUp({ isTTY: true, columns: 120, plan: PLAN });
    const weak = progress.begin("weak");
    time.now = 10_000;
    weak.update(1);
    weak.done();
    const student = progress.begin("student");
    time.now = 20_000;
    student.update(1 / 3, "loss 0.412");
    expect(last()).toBe("\r 50 % ██████████░░░░░░░░░░ 20 s, about 20 s left · student · loss 0.412\u001b[K");
    progress.finish();
    expect(last()).toBe("\r\u001b[K");
  });

  it("gives no time left in the first second, nor before anything was done", () => {
    const { progress, time, last } = setUp({ isTTY: true, plan: PLAN });
    const weak = progress.begin("weak");
    time.now = 900;
    weak.update(0.5);
    expect(last()).toContain("12 %");
    expect(last()).not.toContain("left");
    progress.finish();

    const idle = setUp({ isTTY: true, plan: PLAN });
    const stage = idle.progress.begin("weak");
    idle.time.now = 30_000;
    stage.update(0);
    expect(idle.last()).not.toContain("left");
    idle.progress.finish();
  });

  it("lets the time left grow in a stall, and shows none at the end", () => {
    const { progress, time, last } = setUp({ isTTY: true, columns: 120, plan: PLAN });
    const weak = progress.begin("weak");
    const left = () => Number(last().match(/about (\d+) s left/)?.[1]);
    time.now = 5000;
    weak.update(1);
    expect(left()).toBe(15);
    time.now = 10_000;
    weak.update(1);
    expect(left()).toBeGreaterThan(25);
    weak.done();
    const student = progress.begin("student");
    time.now = 40_000;
    student.update(7);
    expect(last()).toContain("100 %");
    expect(last()).not.toContain("left");
    progress.finish();
  });

  it("does not take a reused stage for fast work", () => {
    const { progress, time, last } = setUp({ isTTY: true, columns: 120, plan: PLAN });
    progress.begin("weak").done("reused");
    const student = progress.begin("student");
    time.now = 10_000;
    student.update(0.5);
    expect(last()).toContain("62 %");
    expect(last()).toContain("about 10 s left");
    progress.finish();
  });

  it("redraws at most ten times a second", () => {
    const { progress, time, written } = setUp({ isTTY: true, plan: PLAN });
    const stage = progress.begin("weak");
    for (time.now = 0; time.now < 1000; time.now += 1) stage.update(time.now / 1000);
    expect(written.length).toBeLessThanOrEqual(10);
    expect(written.length).toBeGreaterThan(5);
    progress.finish();
  });

  it("keeps each line within the columns, control characters out of it, and logged lines whole", () => {
    const { progress, time, written, last } = setUp({ isTTY: true, columns: 40 });
    const stage = progress.begin("弱い教師 \u001b[2J with a long name that does not fit");
    time.now = 500;
    stage.update(0.5, "loss\n0.4");
    expect(displayWidth(last().slice(1, -3))).toBeLessThanOrEqual(39);
    for (const control of ["\u001b", "\n"]) expect(last().slice(1, -3)).not.toContain(control);
    progress.log("a line that stays and is much longer than forty columns");
    expect(written.at(-2)).toBe("\r\u001b[Ka line that stays and is much longer than forty columns\n");
    progress.finish();
  });
});

it("stages that run at once add up, and ending one twice counts once", () => {
  const { progress, time, last } = setUp({ isTTY: true, columns: 120 });
  const [one, two] = [progress.begin("world a", 1), progress.begin("world b", 1)];
  time.now = 2000;
  one.update(0.5);
  time.now = 4000;
  two.update(0.25);
  expect(last()).toContain("37 %");
  expect(last()).toContain("world b (+1 more)");
  one.done();
  one.done();
  one.update(0);
  time.now = 6000;
  two.update(0.5);
  expect(last()).toContain("75 %");
  progress.finish();
});

it("elsewhere writes a line for each finished stage and one every ten seconds in between", () => {
  const { progress, time, written } = setUp({ isTTY: false, plan: PLAN });
  const weak = progress.begin("weak");
  for (time.now = 0; time.now < 25_000; time.now += 100) weak.update(time.now / 25_000, "loss 0.4");
  weak.done();
  progress.begin("student").done("reused");
  progress.finish();
  expect(written).toEqual([
    " 10 % 10 s, about 1 min 30 s left · weak · loss 0.4\n",
    " 20 % 20 s, about 1 min 20 s left · weak · loss 0.4\n",
    "weak: done in 25 s\n",
    "student: reused\n",
  ]);
});

it("durations read as people say them", () => {
  expect([-5, 400, 59_400, 200_000, 3_900_000].map(formatDuration)).toEqual([
    "0 s",
    "0 s",
    "59 s",
    "3 min 20 s",
    "1 h 05 min",
  ]);
});

it("silent progress takes everything and says nothing", () => {
  const stage = silentProgress.begin("any");
  stage.update(0.5);
  stage.done();
  silentProgress.finish();
});
