// What the page always has: the model, the places that are written to, and how.

import { BODIES, mark, scene } from "./page_scene.js";
import { COLOURS, chart } from "./page_chart.js";

export const ROWS = 5;
export const find = (id) => document.getElementById(id);
export const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
export const model = await (await fetch("api/model")).json();
export const stage = scene(find("scene"), model.layout);
export const curves = chart(find("chart"));

find("model").textContent = `${model.model} network · ${model.classes.length} actions · ${model.dataset}, ${model.protocol}`;
find("known").append(...model.classes.map((name) => {
  const item = document.createElement("li");
  item.textContent = name;
  return item;
}));
find("files").textContent = model.files.join("  ");
find("address").textContent = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`;
find("file").accept = model.files.join(",");

export function problem(text) {
  find("problem").hidden = !text;
  find("problem").querySelector("p").textContent = text;
}
find("problem").querySelector("button").onclick = () => problem("");

export function say(text) {
  find("said").textContent = text;
}

export function mode(name) {
  document.body.dataset.mode = name;
  find("chances-title").textContent = name === "empty" ? "Actions that the model knows" : "Most probable actions";
}

/** The bars of some labels, of no action where `none` is its share, and of all other labels together. */
export function rows(labels, shares, slots, none = null) {
  const known = labels.every((label) => shares[label] !== null);
  const entries = labels.map((label, rank) => [model.classes[label], shares[label], COLOURS[slots[rank]]]);
  if (none !== null) entries.push(["no action", none, null]);
  const left = known ? Math.max(0, 1 - entries.reduce((sum, [, share]) => sum + share, 0)) : null;
  if (model.classes.length > labels.length) entries.push(["all others", left, null]);
  const list = find("top");
  while (list.children.length > entries.length) list.lastChild.remove();
  while (list.children.length < entries.length) {
    const row = document.createElement("li");
    for (const kind of ["name", "part", "bar"]) {
      const part = document.createElement(kind === "bar" ? "div" : "span");
      part.className = kind;
      if (kind === "bar") part.append(document.createElement("i"));
      row.append(part);
    }
    list.append(row);
  }
  [...list.children].forEach((row, rank) => {
    const [name, share, colour] = entries[rank];
    row.classList.toggle("rest", colour === null);
    row.querySelector(".name").textContent = name;
    row.querySelector(".part").textContent = percent(share);
    const bar = row.querySelector("i");
    bar.style.width = `${100 * (share || 0)}%`;
    bar.style.background = colour || "#64738a";
  });
}

export function large(when, action, share, sure, slot) {
  find("when").textContent = when;
  find("action").textContent = action;
  find("action").classList.toggle("unsure", !sure);
  find("share").textContent = share === null ? "" : percent(share);
  find("share").style.color = COLOURS[slot] || "";
}

export function verdict(action, share) {
  const best = document.createElement("strong");
  best.textContent = action;
  find("verdict").replaceChildren("Whole clip: ", best, ` ${percent(share)}`);
}

export function legend(bodies, states) {
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

export function options(select, all, chosen) {
  const wanted = JSON.stringify(all);
  if (select.dataset.all !== wanted) {
    select.dataset.all = wanted;
    select.replaceChildren(...all.map(([value, text]) => new Option(text, value)));
  }
  if (chosen !== null) select.value = chosen;
}
