// Live streams over websockets: watching those that others feed, and feeding one from a clip.

const SPAN = 10; // seconds that are kept

const address = (path) => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;

/** What a stream has said in the last seconds, of each person and pair. */
export function history(classes) {
  const index = new Map(classes.map((name, label) => [name, label]));
  const units = new Map();
  let [first, newest] = [null, 0];
  let spans = []; // actions that began, of all units

  function add(answer) {
    if (answer.late) return;
    first ??= answer.time;
    newest = answer.time;
    for (const { event, bodies, action, start, end } of answer.events) {
      const key = bodies.join(" + ");
      if (event === "start") spans.push({ key, action, from: start, to: Infinity });
      else spans.filter((one) => one.key === key && one.to === Infinity).forEach((one) => { one.to = end; });
    }
    spans = spans.filter((one) => one.to > newest - SPAN);
    const there = new Set();
    for (const person of answer.people) {
      const key = person.bodies.join(" + ");
      there.add(key);
      if (!units.has(key)) units.set(key, { bodies: person.bodies, times: [], shares: [] });
      const unit = units.get(key);
      const shares = new Float32Array(classes.length);
      person.top.forEach(({ action, probability }) => { shares[index.get(action)] = probability; });
      unit.times.push(answer.time);
      unit.shares.push(shares);
      unit.action = person.action;
      unit.seen = person.seen;
      while (unit.times[0] < newest - SPAN) {
        unit.times.shift();
        unit.shares.shift();
      }
    }
    for (const key of [...units.keys()].filter((one) => !there.has(one))) units.delete(key);
  }

  /** The unit asked for, or a pair before a person, the one that has been there longest first. */
  function unit(wanted) {
    const all = [...units.values()];
    return units.get(wanted) || all.find((one) => one.bodies.length > 1) || all[0] || null;
  }

  /** The labels of the most probable actions of a unit in the time that is kept and of that of now, which comes first. */
  function leaders(one, count) {
    const best = new Float32Array(classes.length);
    one.shares.forEach((shares) => shares.forEach((share, label) => { best[label] = Math.max(best[label], share); }));
    const now = one.shares[one.shares.length - 1];
    best[now.indexOf(Math.max(...now))] = Infinity;
    return [...best.keys()]
      .sort((a, b) => best[b] - best[a])
      .slice(0, count)
      .sort((a, b) => now[b] - now[a]);
  }

  /** The actions that a unit began in the time that is kept. */
  const actions = (one) => spans.filter(({ key }) => key === one.bodies.join(" + "));

  return { add, unit, leaders, actions, names: () => [...units.keys()], span: SPAN, newest: () => newest, from: () => Math.max(first, newest - SPAN) };
}

/** Watches: `told` gets every message of the server, `ended` a reason. Returns a function that ends it. */
export function watch(told, ended) {
  let problem = "";
  const socket = new WebSocket(address("/watch"));
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.error) problem = message.error;
    else told(message);
  };
  socket.onclose = (event) => {
    if (socket.onmessage) ended(problem || event.reason || "the server has closed the connection");
  };
  return () => {
    socket.onmessage = null;
    socket.close();
  };
}

/**
 * Sends a clip's frames [[{id, joints, states}]] as a live stream at their rate; `told` gets each with its answer,
 * `ended` a reason, or none and what the server says of the whole clip. Returns a function that ends it.
 */
export function feed({ name, file, rate, bodies: { length: people } }, frames, top, told, ended) {
  let timer = 0;
  let problem = "";
  const socket = new WebSocket(address(`/live?name=${encodeURIComponent(file)}&top=${top}&layout=model`));
  const stop = () => {
    clearTimeout(timer);
    socket.onmessage = null;
    socket.close();
  };
  socket.onopen = () => {
    const begin = performance.now();
    let sent = 0;
    socket.send(JSON.stringify({ clip: "begin", name, bodies: Array.from({ length: people }, (_, number) => number + 1) }));
    const tick = () => {
      const due = Math.min(frames.length, Math.floor(((performance.now() - begin) / 1000) * rate) + 1);
      for (; sent < due; sent += 1) {
        const bodies = frames[sent].map(({ id, joints, states }) => ({
          id,
          joints: Array.from({ length: joints.length / 3 }, (_, at) => joints.slice(3 * at, 3 * at + 3)),
          ...(states && { states: [...states].map(Number) }),
        }));
        socket.send(JSON.stringify({ time: sent / rate, bodies }));
      }
      if (sent < frames.length) timer = setTimeout(tick, 500 / rate);
      else socket.send(JSON.stringify({ clip: "end" }));
    };
    tick();
  };
  let answered = 0;
  socket.onmessage = (event) => {
    const answer = JSON.parse(event.data);
    if (answer.error) {
      problem = answer.error;
      return;
    }
    if (answer.clip === "end") {
      stop();
      ended("", answer);
    } else if (!answer.clip) {
      told({ bodies: frames[answered], answer });
      answered += 1;
    }
  };
  socket.onclose = (event) => {
    if (socket.onmessage) ended(problem || event.reason || "the server has closed the connection");
  };
  return stop;
}
