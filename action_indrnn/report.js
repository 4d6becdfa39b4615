"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a column's name sorts by it.
const amount = (text) => {
  const found = text.replace(/,/g, "").match(/^[^\d-]*(-?[\d.]+)/);
  return text.includes("∞") ? Infinity : found ? Number(found[1]) : -Infinity;
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("number") && column !== heads.length - 1;
      const down = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numbers;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const first = numbers ? amount(text(a)) - amount(text(b)) || 0 : text(a).localeCompare(text(b));
        return down ? -first : first;
      });
      table.tBodies[0].append(...rows);
    });
  });
}

// The confusion matrix: what the pointer or the arrow keys are at.
const box = document.getElementById("matrix");
const { classes, rows } = JSON.parse(document.getElementById("confusion-data").textContent);
const counts = rows.map((row) => new Map(row));
const sums = rows.map((row) => row.reduce((sum, [, count]) => sum + count, 0));
const said = document.getElementById("cell");
const at = [0, 0];
const views = [...box.querySelectorAll("svg")].map((svg) => {
  const group = svg.querySelector("g");
  const { order, cell, margin } = group.dataset;
  const size = svg.viewBox.baseVal.width;
  return { svg, group, size, order: order.split(" ").map(Number), cell: Number(cell), margin: Number(margin) };
});
const shown = () => views.find((view) => view.svg.getBoundingClientRect().width > 0);
const show = (row, column) => {
  const { order, cell, margin, group } = shown();
  const last = order.length - 1;
  if (row < 0 || column < 0 || row > last || column > last) return;
  at[0] = row;
  at[1] = column;
  const [x, y, end] = [margin + column * cell, margin + row * cell, margin + (last + 1) * cell];
  const across = `M${margin} ${y}H${end}V${y + cell}H${margin}z`;
  group.querySelector(".cross").setAttribute("d", `${across}M${x} ${margin}V${end}H${x + cell}V${margin}z`);
  const [truth, taken] = [order[row], order[column]];
  const count = counts[truth].get(taken) || 0;
  const share = sums[truth] ? ((100 * count) / sums[truth]).toFixed(1) : "0.0";
  const words = truth === taken ? "recognised" : `taken for “${classes[taken]}”`;
  said.textContent = `“${classes[truth]}” ${words}: ${count} of ${sums[truth]} clips (${share} %)`;
};
for (const { svg, size, cell, margin } of views) {
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect();
    const place = (value) => Math.floor(((value / area.width) * size - margin) / cell);
    show(place(event.clientY - area.top), place(event.clientX - area.left));
  });
}
const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
box.addEventListener("keydown", (event) => {
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  show(at[0] + move[0], at[1] + move[1]);
});
said.setAttribute("aria-live", "polite");

const zoom = document.getElementById("zoom");
const resize = () => {
  for (const { svg, size } of views) {
    svg.setAttribute("width", size * zoom.value);
    svg.setAttribute("height", size * zoom.value);
  }
};
zoom.addEventListener("input", resize);
for (const name of ["only-errors", "by-number"]) {
  document.getElementById(name).addEventListener("change", (event) => {
    box.classList.toggle(name, event.target.checked);
  });
}

// A printed page, and a link to a run, show what is folded up.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
const unfold = () => {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (place instanceof HTMLDetailsElement) place.open = true;
};
addEventListener("hashchange", unfold);
unfold();
