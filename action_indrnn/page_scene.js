// Skeletons in three dimensions on a canvas: turned by mouse, touch and keys.
// Joints are metres in the sensor's space: x to its left, y up, z away from it.

export const BODIES = ["#ff9270", "#8db8ff"];
const START = { yaw: -0.35, pitch: 0.16, zoom: 1 };
const TRAIL = 14; // frames

export function scene(canvas, layout) {
  const context = canvas.getContext("2d");
  const parents = new Set(layout.bones.map(([, parent]) => parent));
  const leaves = layout.joints.map((_, joint) => joint).filter((joint) => !parents.has(joint));
  const head = layout.joints.findIndex((name) => /head/i.test(name));
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let view = { ...START };
  let place = { x: 0, floor: -1, z: 3, middle: 0, size: 2 };
  let bodies = [];
  let trail = [];

  /** Puts the camera where all of the points, [x, y, z, x, y, z, ...], are seen, or a share of the way there; `room` around them. */
  function frame(points, share = 1, room = 1) {
    const axes = [[], [], []];
    points.forEach((value, at) => axes[at % 3].push(value));
    if (!axes[0].length) return;
    axes.forEach((values) => values.sort((a, b) => a - b));
    const low = axes.map((values) => values[Math.floor(values.length * 0.01)]);
    const high = axes.map((values) => values[Math.ceil(values.length * 0.99) - 1]);
    const across = Math.hypot(high[0] - low[0], high[2] - low[2]);
    const wanted = {
      x: (low[0] + high[0]) / 2,
      z: (low[2] + high[2]) / 2,
      floor: low[1],
      middle: (low[1] + high[1]) / 2,
      size: room * Math.max(high[1] - low[1], 0.75 * across, 0.5),
    };
    for (const key of Object.keys(place)) place[key] += share * (wanted[key] - place[key]);
  }

  /** Shows bodies [{joints, states}], joints null where one is not seen, and the poses just before. */
  function show(now, before = []) {
    bodies = now;
    trail = calm.matches ? [] : before;
    draw();
  }

  function project(x, y, z, width, height) {
    const [cy, sy, cp, sp] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
    const [right, up, away] = [place.x - x, y - place.middle, z - place.z];
    const across = right * cy + away * sy;
    const deep = away * cy - right * sy;
    const high = up * cp + deep * sp;
    const far = 1 + (deep * cp - up * sp) / (3.2 * place.size);
    const scale = ((width > 700 ? 0.72 : 0.58) * view.zoom * Math.min(height, width * 1.1)) / place.size / Math.max(far, 0.15);
    const middle = width > 700 ? 0.68 : 0.5; // of a wide stage the left belongs to the answer
    return [width * middle + across * scale, height * (width > 700 ? 0.52 : 0.58) - high * scale, scale];
  }

  function draw() {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!bodies.length) return;
    floor(width, height);
    const point = (joints, joint) => project(...joints.slice(3 * joint, 3 * joint + 3), width, height);
    trails(point);
    bodies
      .map((body, number) => ({ ...body, number }))
      .filter((body) => body.joints)
      .sort((a, b) => depth(b.joints) - depth(a.joints))
      .forEach((body) => person(body, layout.joints.map((_, joint) => point(body.joints, joint)), width, height));
  }

  const depth = (joints) => {
    const [x, , z] = joints.slice(3 * layout.centre, 3 * layout.centre + 3);
    return (z - place.z) * Math.cos(view.yaw) - (place.x - x) * Math.sin(view.yaw);
  };

  function floor(width, height) {
    context.lineWidth = 1;
    for (let ring = 1; ring <= 5; ring += 1) {
      context.strokeStyle = `rgba(141, 170, 215, ${0.34 - 0.055 * ring})`;
      context.beginPath();
      for (let turn = 0; turn <= 48; turn += 1) {
        const angle = (turn * Math.PI) / 24;
        const radius = 0.28 * ring * place.size;
        const [x, y] = project(
          place.x + radius * Math.cos(angle), place.floor, place.z + radius * Math.sin(angle), width, height,
        );
        if (turn) context.lineTo(x, y);
        else context.moveTo(x, y);
      }
      context.stroke();
    }
  }

  function trails(point) {
    context.lineCap = "round";
    trail.slice(-TRAIL).forEach((poses, age, all) => {
      const next = all[age + 1] || bodies;
      poses.forEach((body, number) => {
        const after = next[number];
        if (!body.joints || !after || !after.joints) return;
        context.strokeStyle = BODIES[number % BODIES.length];
        context.globalAlpha = (0.55 * (age + 1)) / all.length;
        context.lineWidth = 2;
        leaves.forEach((joint) => {
          context.beginPath();
          context.moveTo(...point(body.joints, joint).slice(0, 2));
          context.lineTo(...point(after.joints, joint).slice(0, 2));
          context.stroke();
        });
      });
    });
    context.globalAlpha = 1;
  }

  function person(body, points, width, height) {
    const colour = BODIES[body.number % BODIES.length];
    const state = (joint) => (body.states ? Number(body.states[joint]) : 2);
    const thick = Math.max(2.5, 0.036 * points[layout.centre][2]);
    const [x, , z] = body.joints.slice(3 * layout.centre, 3 * layout.centre + 3);
    const [sx, sy, scale] = project(x, place.floor, z, width, height);
    const glow = context.createRadialGradient(sx, sy, 0, sx, sy, 0.42 * scale);
    glow.addColorStop(0, `${colour}3c`);
    glow.addColorStop(1, `${colour}00`);
    context.save();
    context.translate(0, sy * (1 - 0.35));
    context.scale(1, 0.35);
    context.fillStyle = glow;
    context.fillRect(sx - 0.42 * scale, sy - 0.42 * scale, 0.84 * scale, 0.84 * scale);
    context.restore();

    context.lineCap = "round";
    layout.bones
      .map((bone) => [bone, Math.min(state(bone[0]), state(bone[1]))])
      .forEach(([[child, parent], sure]) => {
        context.strokeStyle = colour;
        context.globalAlpha = [0.45, 0.6, layout.sides[child] === "right" ? 0.78 : 1][sure];
        context.lineWidth = thick * [0.4, 0.6, 1][sure];
        context.setLineDash(sure ? [] : [thick * 0.8, thick * 1.4]);
        context.beginPath();
        context.moveTo(points[child][0], points[child][1]);
        context.lineTo(points[parent][0], points[parent][1]);
        context.stroke();
      });
    context.setLineDash([]);
    context.globalAlpha = 1;
    points.forEach(([px, py, size], joint) => {
      const radius = joint === head ? 0.085 * size : Math.max(2.8, 0.024 * size);
      mark(context, px, py, radius, state(joint), colour);
    });
  }

  function turn(yaw, pitch, zoom = 1) {
    view.yaw += yaw;
    view.pitch = Math.min(1.5, Math.max(-0.3, view.pitch + pitch));
    view.zoom = Math.min(5, Math.max(0.3, view.zoom * zoom));
    draw();
  }

  function reset() {
    view = { ...START };
    draw();
  }

  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) turn(event.movementX / 140, event.movementY / 160);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    turn(0, 0, Math.exp(-event.deltaY / 600));
  }, { passive: false });
  canvas.addEventListener("dblclick", reset);
  new ResizeObserver(draw).observe(canvas);
  return { frame, show, turn, reset, view: () => ({ ...view }) };
}

/** A joint: full where it was tracked, a ring where it was inferred, a cross where it was not tracked. */
export function mark(context, x, y, radius, state, colour) {
  context.beginPath();
  context.lineWidth = Math.max(1.6, radius * 0.42);
  context.strokeStyle = colour;
  if (state === 0) {
    const arm = radius * 1.15;
    context.moveTo(x - arm, y - arm);
    context.lineTo(x + arm, y + arm);
    context.moveTo(x + arm, y - arm);
    context.lineTo(x - arm, y + arm);
    context.stroke();
    return;
  }
  context.arc(x, y, state === 1 ? radius * 1.1 : radius, 0, 2 * Math.PI);
  context.fillStyle = state === 1 ? "#0e141f" : colour;
  context.fill();
  if (state === 1) context.stroke();
}
