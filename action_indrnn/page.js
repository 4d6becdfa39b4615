// The page: a clip with its verdict, or a live stream.

import { BODIES, mark, scene } from "./page_scene.js";
import { COLOURS, chart } from "./page_chart.js";
import { feed, history, watch } from "./page_live.js";

const find = (id) => document.getElementById(id);
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const model = await (await fetch("api/model")).json();
const stage = scene(find("scene"), model.layout);
const curves = chart(find("chart"));
const ROWS = 5;

let clip = null; // what the server said of a file, with `series`: the labels shown
let frame = 0; // the one shown
let playing = 0; // id of the animation's next frame
let live = null; // {stop, history, stream, ...}

// ---- head

find("model").textContent = `${model.model} network · ${model.classes.length} actions · ${model.dataset}, ${model.protocol}`;
find("known").append(...model.classes.map((name) => {
  const item = document.createElement("li");
  item.textContent = name;
  return item;
}));
find("files").textContent = model.files.join("  ");
find("address").textContent = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`;
find("file").accept = model.files.join(",");

function problem(text) {
  find("problem").hidden = !text;
  find("problem").querySelector("p").textContent = text;
}
find("problem").querySelector("button").onclick = () => problem("");

function say(text) {
  find("said").textContent = text;
}

function mode(name) {
  document.body.dataset.mode = name;
  find("chances-title").textContent = name === "empty" ? "Actions that the model knows" : "Most probable actions";
}

function rows(labels, shares, slots) {
  const list = find("top");
  while (list.children.length > labels.length + 1) list.lastChild.remove();
  while (list.children.length < labels.length + 1) {
    const row = document.createElement("li");
    for (const kind of ["name", "part", "bar"]) {
      const part = document.createElement(kind === "bar" ? "div" : "span");
      part.className = kind;
      if (kind === "bar") part.append(document.createElement("i"));
      row.append(part);
    }
    list.append(row);
  }
  const known = labels.every((label) => shares[label] !== null);
  const rest = known ? Math.max(0, 1 - labels.reduce((sum, label) => sum + shares[label], 0)) : null;
  [...list.children].forEach((row, rank) => {
    const last = rank === labels.length;
    const share = last ? rest : shares[labels[rank]];
    row.classList.toggle("rest", last);
    row.hidden = last && model.classes.length <= labels.length;
    row.querySelector(".name").textContent = last ? "all others" : model.classes[labels[rank]];
    row.querySelector(".part").textContent = percent(share);
    const bar = row.querySelector("i");
    bar.style.width = `${100 * (share || 0)}%`;
    bar.style.background = last ? "#64738a" : COLOURS[slots[rank]];
  });
}

function large(when, action, share, sure, slot) {
  find("when").textContent = when;
  find("action").textContent = action;
  find("action").classList.toggle("unsure", !sure);
  find("share").textContent = share === null ? "" : percent(share);
  find("share").style.color = COLOURS[slot] || "";
}

function legend(bodies, states) {
  const entries = bodies.map((text, number) => [text, 2, BODIES[number % BODIES.length]]);
  if (states.has("1")) entries.push(["inferred joint", 1, "#a9b6c8"]);
  if (states.has("0")) entries.push(["joint not tracked", 0, "#a9b6c8"]);
  find("legend").replaceChildren(
    ...entries.map(([text, state, colour]) => {
      const item = document.createElement("li");
      const picture = document.createElement("canvas");
      [picture.width, picture.height] = [36, 36];
      picture.setAttribute("aria-hidden", "true");
      mark(picture.getContext("2d"), 18, 18, 9, state, colour);
      item.append(picture, text);
      return item;
    }),
  );
}

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
  end();
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
  const best = document.createElement("strong");
  best.textContent = model.classes[clip.winner];
  find("verdict").replaceChildren("Whole clip: ", best, ` ${percent(clip.verdict[clip.winner])}`);
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

// ---- live

function end() {
  if (live) live.stop();
  live = null;
  find("watch").setAttribute("aria-pressed", "false");
  find("choice").hidden = true;
  find("waiting").hidden = true;
  find("replay").textContent = "Send as live stream";
  find("replay").hidden = false;
}

function begin(stop) {
  pause();
  live = { stop, history: history(model.classes), streams: new Map(), stream: null, order: [], slots: [], before: [], said: "", drawn: 0, ids: [] };
  for (const id of ["verdict", "doubts"]) find(id).textContent = "";
}

function startWatching() {
  begin(() => {});
  live.stop = watch(watched, (reason) => {
    end();
    problem(`Live: ${reason}`);
    if (clip) back();
    else mode("empty");
  });
  find("watch").setAttribute("aria-pressed", "true");
  find("waiting").hidden = false;
  mode("empty");
  say("Waiting for live frames");
}

function back() {
  mode("clip");
  describe();
  show(frame);
}

function watched(message) {
  for (const { stream, name } of message.streams || []) live.streams.set(stream, name);
  if (message.opened) live.streams.set(message.opened.stream, message.opened.name);
  if (message.closed) {
    live.streams.delete(message.closed.stream);
    if (message.closed.stream === live.stream) say(`${message.closed.name} has ended`);
  }
  if (!message.answer) {
    const newest = message.opened ? message.opened.stream : [...live.streams.keys()].pop();
    if (!live.streams.has(live.stream) && newest) follow(newest);
    options(find("stream"), [...live.streams].map(([number, name]) => [number, name]), live.stream);
    return;
  }
  if (message.stream !== live.stream) return;
  frameOf(message.bodies, message.answer);
}

function follow(stream) {
  live.stream = stream;
  Object.assign(live, { history: history(model.classes), order: [], slots: [], before: [], ids: [], framed: false });
}

function options(select, all, chosen) {
  const wanted = JSON.stringify(all);
  if (select.dataset.all !== wanted) {
    select.dataset.all = wanted;
    select.replaceChildren(...all.map(([value, text]) => new Option(text, value)));
  }
  if (chosen !== null) select.value = chosen;
}

/** Takes in a live frame and its answer; the screen follows at most once in its own time. */
function frameOf(bodies, answer) {
  live.history.add(answer);
  for (const { id } of bodies) if (!live.ids.includes(id)) live.ids.push(id);
  live.ids = live.ids.filter((id) => bodies.some((body) => body.id === id) || live.ids.length <= 2);
  const now = live.ids.map((id) => ({ joints: bodies.find((body) => body.id === id)?.joints || null, states: null }));
  live.before = [...live.before, live.now || now].slice(-14).filter((past) => past.length === now.length);
  live.now = now;
  for (const event of answer.events) {
    if (event.event === "start") say(event.action);
  }
  if (!live.drawn) live.drawn = requestAnimationFrame(() => {
    if (!live) return;
    live.drawn = 0;
    showLive(answer);
  });
}

function showLive() {
  if (!live.now) return;
  if (document.body.dataset.mode !== "live") {
    mode("live");
    find("choice").hidden = false;
    find("waiting").hidden = true;
    find("replay").textContent = "Back to the clip";
    find("replay").hidden = !clip;
  }
  const points = live.now.flatMap((body) => body.joints || []);
  const recent = live.before.flatMap((past) => past.flatMap((body) => body.joints || []));
  stage.frame([...recent, ...points], live.framed ? 0.08 : 1, 1.1);
  live.framed = live.framed || points.length > 0;
  stage.show(live.now, live.before);
  legend(live.ids.map((id) => `body ${id}`), new Set());
  options(find("unit"), [["", "whoever is there"], ...live.history.names().map((name) => [name, `body ${name}`])], null);
  const unit = live.history.unit(find("unit").value);
  const newest = live.history.newest();
  find("clock").textContent = `${newest.toFixed(1)} s`;
  if (!unit) {
    large("Live", "nobody there", null, false);
    return;
  }
  if (!(newest - live.ordered < 0.5) || !live.order.length) {
    live.order = live.history.leaders(unit, ROWS);
    live.ordered = newest;
    live.slots = live.slots.map((one) => (live.order.includes(one) ? one : null)); // who stays keeps its colour
    for (const one of live.order.filter((label) => !live.slots.includes(label))) {
      const free = live.slots.indexOf(null);
      live.slots[free < 0 ? live.slots.length : free] = one;
    }
  }
  const shares = [...unit.shares[unit.shares.length - 1]];
  const slot = (one) => live.slots.indexOf(one);
  rows(live.order, shares, live.order.map(slot));
  const label = unit.action === null ? -1 : model.classes.indexOf(unit.action);
  large("Now", unit.action ?? "no action yet", label < 0 ? null : shares[label], label >= 0, slot(label));
  curves.draw({
    series: live.order.map((one) => ({
      slot: slot(one),
      area: one === (label < 0 ? live.order[0] : label),
      values: unit.shares.map((row) => row[one]),
    })),
    spans: live.history.actions(unit).map(({ action, from, to }) => (
      { text: action, from, to: Math.min(to, newest), slot: slot(model.classes.indexOf(action)) })),
    times: unit.times,
    from: live.history.from(),
    to: live.history.from() + live.history.span,
    cursor: newest,
    until: newest,
    label: (time, gap) => (time < 0 ? "" : `${time.toFixed(gap < 1 ? 1 : 0)} s`),
  });
  const count = live.now.filter((body) => body.joints).length;
  find("scene").setAttribute("aria-label", `Live: ${count} ${count === 1 ? "person" : "people"}`);
  find("chart").setAttribute("aria-label", `Probabilities in the last ${live.history.span} seconds; now: ${unit.action ?? "no action yet"}`);
}

function replay() {
  if (live) {
    end();
    back();
    return;
  }
  const frames = Array.from({ length: clip.frames }, (_, at) =>
    clip.bodies.map((body, number) => ({ id: number + 1, joints: body.joints[at] })).filter((body) => body.joints));
  begin(() => {});
  live.stop = feed(clip.file, frames, clip.rate, model.classes.length,
    ({ bodies, answer }) => frameOf(bodies, answer),
    (reason) => {
      if (reason) problem(`Live: ${reason}`);
      say("The clip has ended");
      live.over = true;
    });
  find("choice").hidden = false;
  options(find("stream"), [["0", clip.file]], "0");
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
    end();
    if (clip) back();
    else mode("empty");
  } else {
    end();
    startWatching();
  }
};
find("play").onclick = () => (playing ? pause() : play());
find("replay").onclick = replay;
find("place").oninput = () => scrub(Number(find("place").value));
find("stream").onchange = () => follow(Number(find("stream").value));
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
  if (event.buttons && clip && !live) scrub(Math.round(curves.timeAt(event.clientX) * clip.rate));
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
  const act = ALWAYS[event.key] || (clip && !live && KEYS[event.key]);
  if (!act) return;
  event.preventDefault();
  act(event);
});

mode("empty");
document.body.dataset.ready = "yes";
