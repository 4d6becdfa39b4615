// The page: a clip with its verdict, and what hands and keys do.

import {
  ROWS, curves, find, large, legend, mode, model, percent, problem, rows, say, stage, verdict,
} from "./page_shown.js";
import { watching } from "./page_watch.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let clip = null; // what the server said of a file, with `series`: the labels shown
let frame = 0; // the one shown
let playing = 0; // id of the animation's next frame
const live = watching({ clip: () => clip, back, pause });

// ---- a clip

async function open(file) {
  problem("");
  if (file.size > model.upload) {
    problem(`${file.name}: expected at most ${model.upload.toLocaleString("en")} bytes, found ${file.size.toLocaleString("en")}`);
    return;
  }
  say(`Reading ${file.name}`);
  let answer;
  try {
    const target = `api/clip?name=${encodeURIComponent(file.name)}`;
    const headers = { "content-type": "application/octet-stream" };
    answer = await fetch(target, { method: "POST", body: file, headers });
  } catch (error) {
    problem(`${file.name}: the server does not answer (${error.message})`);
    return;
  }
  const found = await answer.json();
  if (!answer.ok) {
    problem(found.error);
    return;
  }
  live.end();
  pause();
  clip = found;
  const peak = clip.verdict.map((share, label) =>
    Math.max(share, ...(clip.curve || []).map((row) => row[label] ?? 0).filter((_, at) => at * 5 > clip.frames)));
  const order = [...peak.keys()].sort((a, b) => clip.verdict[b] - clip.verdict[a] || peak[b] - peak[a]);
  const chosen = [order[0], ...order.slice(1).sort((a, b) => peak[b] - peak[a])];
  clip.series = chosen.slice(0, ROWS);
  clip.winner = order[0];
  clip.times = Array.from({ length: clip.frames }, (_, number) => number / clip.rate);
  const share = (number, label) => (clip.curve ? clip.curve[number][label] : null);
  clip.lines = clip.series.map((label, rank) => ({
    slot: rank,
    area: rank === 0,
    values: clip.times.map((_, number) => (number === clip.frames - 1 ? clip.verdict[label] : share(number, label))),
  }));
  describe();
  mode("clip");
  say(`${clip.file}: ${model.classes[clip.winner]}, ${percent(clip.verdict[clip.winner])}. ${clip.frames} frames.`);
  show(calm.matches ? clip.frames - 1 : 0);
  if (!calm.matches) play();
}

/** Everything of the clip that does not change with time. */
function describe() {
  stage.frame(clip.bodies.flatMap((body) => body.joints.flatMap((joints) => joints || [])));
  const states = new Set(clip.bodies.flatMap((body) => [...new Set((body.states || []).join(""))]));
  legend(clip.bodies.map((_, number) => `person ${number + 1}`), states);
  verdict(model.classes[clip.winner], clip.verdict[clip.winner]);
  find("doubts").textContent = [
    ...clip.doubts,
    ...(clip.curve ? [] : ["This network needs the whole clip: there is no answer before its end."]),
  ].join(" ");
  for (const id of ["place", "play", "replay"]) find(id).disabled = false;
  find("replay").disabled = !model.causal;
  find("place").max = clip.frames - 1;
}

const poses = (at) => clip.bodies.map((body) => ({ joints: body.joints[at], states: body.states && body.states[at] }));

function show(at) {
  frame = Math.min(clip.frames - 1, Math.max(0, at));
  const before = [];
  for (let past = Math.max(0, frame - 14); past < frame; past += 1) before.push(poses(past));
  stage.show(poses(frame), before);
  const whole = frame === clip.frames - 1;
  const shares = whole ? clip.verdict : clip.curve ? clip.curve[frame] : clip.verdict.map(() => null);
  rows(clip.series, shares, clip.series.map((_, rank) => rank));
  const seconds = (number) => `${(number / clip.rate).toFixed(2)} s`;
  const known = shares[0] !== null;
  const best = known ? shares.indexOf(Math.max(...shares)) : -1;
  const when = whole ? "The whole clip shows" : `After ${seconds(frame + 1)}`;
  large(when, known ? model.classes[best] : "no answer yet", known ? shares[best] : null, known && (whole || shares[best] >= 0.5), clip.series.indexOf(best));
  curves.draw({
    series: clip.lines,
    times: clip.times,
    spans: [],
    from: 0,
    to: Math.max((clip.frames - 1) / clip.rate, 1 / clip.rate),
    cursor: frame / clip.rate,
    until: frame / clip.rate,
    label: (time, gap) => `${time.toFixed(gap < 1 ? 1 : 0)} s`,
  });
  const told = known ? `${model.classes[best]} ${percent(shares[best])}` : "no answer yet";
  find("place").value = frame;
  find("place").setAttribute("aria-valuetext", `frame ${frame + 1} of ${clip.frames}: ${told}`);
  find("clock").textContent = `${seconds(frame + 1)} of ${seconds(clip.frames)} · frame ${frame + 1} of ${clip.frames}`;
  const count = clip.bodies.filter((body) => body.joints[frame]).length;
  find("scene").setAttribute("aria-label", `${count} ${count === 1 ? "person" : "people"} in frame ${frame + 1} of ${clip.frames}`);
  find("chart").setAttribute("aria-label", `Probabilities over time; at ${seconds(frame + 1)}: ${told}`);
}

function play() {
  let last = performance.now();
  let place = frame >= clip.frames - 1 ? 0 : frame;
  const wait = 1.2 * clip.rate; // a moment on the last frame
  find("play").textContent = "Pause";
  const tick = (now) => {
    place += ((now - last) / 1000) * clip.rate * Number(find("speed").value);
    last = now;
    if (place >= clip.frames - 1 && !find("again").checked) {
      show(clip.frames - 1);
      pause();
      return;
    }
    if (place > clip.frames - 1 + wait) place = 0;
    const at = Math.min(clip.frames - 1, Math.floor(place));
    if (at !== frame) show(at);
    playing = requestAnimationFrame(tick);
  };
  show(Math.floor(place));
  playing = requestAnimationFrame(tick);
}

function pause() {
  cancelAnimationFrame(playing);
  playing = 0;
  find("play").textContent = "Play";
}

function scrub(at) {
  pause();
  show(at);
}

function back() {
  mode("clip");
  describe();
  show(frame);
}

// ---- hands

find("choose").onclick = () => find("file").click();
find("file").onchange = () => {
  const [file] = find("file").files;
  find("file").value = "";
  if (file) open(file);
};
find("watch").onclick = () => {
  if (find("watch").getAttribute("aria-pressed") === "true") {
    live.end();
    if (clip) back();
    else mode("empty");
  } else {
    live.end();
    live.start();
  }
};
find("play").onclick = () => (playing ? pause() : play());
find("replay").onclick = live.replay;
find("place").oninput = () => scrub(Number(find("place").value));
find("stream").onchange = () => live.follow(Number(find("stream").value));
find("help").onclick = () => find("keys").showModal();

let dragged = 0;
addEventListener("dragenter", () => document.body.classList.toggle("dragging", ++dragged > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dragging", --dragged > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dragged = 0;
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) open(file);
});

const chartMove = (event) => {
  if (event.buttons && clip && !live.is()) scrub(Math.round(curves.timeAt(event.clientX) * clip.rate));
};
find("chart").addEventListener("pointerdown", chartMove);
find("chart").addEventListener("pointermove", chartMove);

const step = (event) => (event.shiftKey ? 10 : 1);
const faster = (by) => {
  const select = find("speed");
  select.selectedIndex = Math.min(select.options.length - 1, Math.max(0, select.selectedIndex + by));
};
const KEYS = {
  " ": () => (playing ? pause() : play()),
  ArrowLeft: (event) => scrub(frame - step(event)),
  ArrowRight: (event) => scrub(frame + step(event)),
  Home: () => scrub(0),
  End: () => scrub(clip.frames - 1),
  "<": () => faster(-1),
  ">": () => faster(1),
};
const ALWAYS = {
  o: () => find("file").click(),
  l: () => find("watch").click(),
  a: () => stage.turn(-0.12, 0),
  d: () => stage.turn(0.12, 0),
  w: () => stage.turn(0, 0.1),
  s: () => stage.turn(0, -0.1),
  "+": () => stage.turn(0, 0, 1.15),
  "-": () => stage.turn(0, 0, 1 / 1.15),
  0: () => stage.reset(),
  "?": () => find("keys").showModal(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || find("keys").open) return;
  if (event.target.matches("select")) return;
  if (event.target.matches("button, a, input[type=checkbox]") && [" ", "Enter"].includes(event.key)) return;
  const act = ALWAYS[event.key] || (clip && !live.is() && KEYS[event.key]);
  if (!act) return;
  event.preventDefault();
  act(event);
});

mode("empty");
document.body.dataset.ready = "yes";
