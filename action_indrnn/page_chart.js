// Probabilities over time as lines, one of them as an area too.

export const COLOURS = ["#4fe3b2", "#c6a5ff", "#f6d860", "#ff8fbf", "#9fb4cc"];
const DASHES = [[], [6, 3], [9, 4], [2, 4], [9, 3, 2, 3]];
const PAD = { left: 52, right: 16, top: 12, bottom: 26 };
const SPANS = 22; // pixels above the lines, where there are spans
const TEXT = "#a9b6c8";

/**
 * A chart on a canvas. `draw` takes series [{values, slot, area}], values between 0 and 1 or null, the slot a
 * number of its colour and dash, on `times` in seconds, rising; `spans` [{from, to, text, slot}] to stand above;
 * the axis from `from` to `to`; `cursor`, a time; `until`, the last time drawn in full; and `label`, which
 * writes a time.
 */
export function chart(canvas) {
  const context = canvas.getContext("2d");
  let last = null;

  function draw(given = last) {
    last = given;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const x = (time) => {
      const span = given ? Math.max(given.to - given.from, 1e-6) : 1;
      return PAD.left + ((time - (given ? given.from : 0)) / span) * (width - PAD.left - PAD.right);
    };
    const top = PAD.top + (given && given.spans.length ? SPANS : 0);
    const y = (share) => height - PAD.bottom - share * (height - top - PAD.bottom);
    axes(width, height, y);
    if (!given) return;
    ticks(given, width, height, x);
    context.save();
    context.beginPath();
    context.rect(PAD.left, 0, width - PAD.left - PAD.right + 8, height);
    context.clip();
    given.spans.forEach((one, at, all) => span(one, all[at + 1], given, x));
    [...given.series].sort((one, other) => one.area - other.area).forEach((one) => {
      context.globalAlpha = 0.28;
      line(one, given, x, y, Infinity);
      context.globalAlpha = 1;
      line(one, given, x, y, given.until);
    });
    if (given.cursor !== null) cursor(given, height, x, y);
    context.restore();
  }

  function axes(width, height, y) {
    context.font = "13px Inter, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";
    context.fillStyle = TEXT;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      context.strokeStyle = share ? "#223046" : "#3a4a63";
      context.beginPath();
      context.moveTo(PAD.left, y(share));
      context.lineTo(width - PAD.right, y(share));
      context.stroke();
      context.fillText(`${100 * share} %`, PAD.left - 8, y(share));
    }
  }

  function ticks(given, width, height, x) {
    const span = given.to - given.from;
    const gap = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60].find((one) => span / one <= width / 90) || 120;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    for (let time = Math.ceil(given.from / gap - 1e-9) * gap; time <= given.to + 1e-9; time += gap) {
      context.fillText(given.label(time, gap), Math.min(x(time), width - PAD.right - 8), height - 7);
    }
  }

  function span(one, next, given, x) {
    const [from, to] = [x(Math.max(one.from, given.from)), x(Math.min(one.to, given.to))];
    context.strokeStyle = COLOURS[one.slot] || TEXT;
    context.fillStyle = COLOURS[one.slot] || TEXT;
    context.lineWidth = 4;
    context.lineCap = "butt";
    context.beginPath();
    context.moveTo(from, PAD.top + SPANS - 8);
    context.lineTo(Math.max(to, from + 2), PAD.top + SPANS - 8);
    context.stroke();
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    const room = next ? x(next.from) - from - 8 : Infinity;
    context.fillText(fitted(context, one.text, room), from, PAD.top + SPANS - 14);
  }

  function line(one, given, x, y, until) {
    context.strokeStyle = COLOURS[one.slot];
    context.lineWidth = one.area ? 3.2 : 2;
    context.lineJoin = "round";
    context.setLineDash(one.area ? [] : DASHES[one.slot]);
    const parts = [[]];
    one.values.forEach((share, at) => {
      if (share === null || given.times[at] > until + 1e-9) parts.push([]);
      else parts[parts.length - 1].push([x(given.times[at]), y(share)]);
    });
    for (const part of parts.filter((points) => points.length)) {
      context.beginPath();
      part.forEach(([px, py], at) => (at ? context.lineTo(px, py) : context.moveTo(px, py)));
      context.stroke();
      if (!one.area) continue;
      const shade = context.createLinearGradient(0, y(1), 0, y(0));
      shade.addColorStop(0, `${COLOURS[one.slot]}4d`);
      shade.addColorStop(1, `${COLOURS[one.slot]}05`);
      context.lineTo(part[part.length - 1][0], y(0));
      context.lineTo(part[0][0], y(0));
      context.fillStyle = shade;
      context.fill();
    }
    context.setLineDash([]);
  }

  function cursor(given, height, x, y) {
    const at = x(given.cursor);
    context.strokeStyle = "#eef3fa";
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(at, y(1) - 6);
    context.lineTo(at, height - PAD.bottom);
    context.stroke();
    const place = given.times.findLastIndex((time) => time <= given.cursor + 1e-9);
    given.series.forEach((one) => {
      const share = place < 0 ? null : one.values[place];
      if (share === null) return;
      context.beginPath();
      context.arc(at, y(share), one.area ? 6 : 4, 0, 2 * Math.PI);
      context.fillStyle = COLOURS[one.slot];
      context.fill();
      context.strokeStyle = "#131a26";
      context.stroke();
    });
  }

  /** The time under a point of the screen. */
  function timeAt(clientX) {
    const box = canvas.getBoundingClientRect();
    const share = (clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
    return last ? last.from + Math.min(1, Math.max(0, share)) * (last.to - last.from) : 0;
  }

  new ResizeObserver(() => draw()).observe(canvas);
  return { draw, timeAt };
}

/** As much of a text as there is room for, in pixels, with three dots where some is missing. */
export function fitted(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let length = text.length;
  while (length && context.measureText(`${text.slice(0, length)}…`).width > room) length -= 1;
  return length ? `${text.slice(0, length).trimEnd()}…` : "";
}
