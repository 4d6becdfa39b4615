// A live stream on the page: somebody else's, or a clip sent as one.

import { feed, history, watch } from "./page_live.js";
import { ROWS, curves, find, large, legend, mode, model, options, percent, problem, rows, say, stage, verdict } from "./page_shown.js";

/** The live half of the page; `clip()` is the clip there is, `back` shows it, `pause` stops it. */
export function watching({ clip, back, pause }) {
  let live = null; // {stop, history, stream, ...}

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
    live = { stop, history: history(model.classes), streams: new Map(), stream: null, order: [], slots: [], before: [], drawn: 0, ids: [], states: new Set() };
    for (const id of ["verdict", "doubts"]) find(id).textContent = "";
  }

  function start() {
    begin(() => {});
    live.stop = watch(watched, (reason) => {
      end();
      problem(`Live: ${reason}`);
      if (clip()) back();
      else mode("empty");
    });
    find("watch").setAttribute("aria-pressed", "true");
    find("waiting").hidden = false;
    mode("empty");
    say("Waiting for live frames");
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
    Object.assign(live, { history: history(model.classes), order: [], slots: [], before: [], ids: [], states: new Set(), framed: false });
  }

  /** Takes in a live frame and its answer; the screen follows at most once in its own time. */
  function frameOf(bodies, answer) {
    live.history.add(answer);
    for (const { id } of bodies) if (!live.ids.includes(id)) live.ids.push(id);
    live.ids = live.ids.filter((id) => bodies.some((body) => body.id === id) || live.ids.length <= 2);
    const now = live.ids.map((id) => bodies.find((body) => body.id === id) || { joints: null });
    for (const { states } of bodies) for (const state of states || "") live.states.add(state);
    live.before = [...live.before, live.now || now].slice(-14).filter((past) => past.length === now.length);
    live.now = now;
    for (const event of answer.events) {
      if (event.event === "start") say(event.action);
    }
    if (!live.drawn) live.drawn = requestAnimationFrame(() => {
      if (!live) return;
      live.drawn = 0;
      showLive();
    });
  }

  function showLive() {
    if (!live.now) return;
    if (document.body.dataset.mode !== "live") {
      mode("live");
      find("choice").hidden = false;
      find("waiting").hidden = true;
      find("replay").textContent = "Back to the clip";
      find("replay").hidden = !clip();
    }
    const points = live.now.flatMap((body) => body.joints || []);
    const recent = live.before.flatMap((past) => past.flatMap((body) => body.joints || []));
    stage.frame([...recent, ...points], live.framed ? 0.08 : 1, 1.1);
    live.framed = live.framed || points.length > 0;
    stage.show(live.now, live.before);
    legend(live.ids.map((id) => `body ${id}`), live.states);
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
    const none = model.detects ? Math.max(0, 1 - shares.reduce((sum, share) => sum + share, 0)) : null;
    rows(live.order, shares, live.order.map(slot), none);
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
    const { bodies, frames: length } = clip();
    const frames = Array.from({ length }, (_, at) =>
      bodies
        .map((body, number) => ({ id: number + 1, joints: body.joints[at], states: body.states && body.states[at] }))
        .filter((body) => body.joints));
    begin(() => {});
    live.stop = feed(clip(), frames, model.classes.length,
      (found) => frameOf(found.bodies, found.answer),
      (reason, whole) => {
        if (reason) problem(`Live: ${reason}`);
        const [best] = whole ? whole.top : [];
        if (best) verdict(best.action, best.probability);
        say(best ? `The clip has ended: ${best.action}, ${percent(best.probability)}` : "The clip has ended");
        live.over = true;
      });
    find("choice").hidden = false;
    options(find("stream"), [["0", clip().file]], "0");
  }

  return { is: () => live !== null, start, end, replay, follow };
}
