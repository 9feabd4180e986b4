// The interactive page: an operator of one number and its derivative, hard and soft.
// docs/try_it.py computes what is drawn: index.js calls begin, NAME.js calls add.
"use strict";

const tryIt = (() => {
  const element = (name) => document.getElementById(`try-${name}`);
  const form = element("form");
  const tables = new Map(); // name -> a promise of its numbers
  const arrived = new Map(); // name -> what to call when NAME.js has them
  let softnesses, operators; // of index.js
  let kept = null; // a curve that is kept to compare
  let latest = 0; // the number of the last update, which overtakes those before it

  // ---- numbers

  // The inverse of `encode` in try_it.py.
  async function decode(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream();
    const inflated = stream.pipeThrough(new DecompressionStream("deflate"));
    const view = new DataView(await new Response(inflated).arrayBuffer());
    const rows = 2 * softnesses.length;
    const points = (view.byteLength / rows - 4) / 2;
    const curves = [];
    for (let row = 0; row < rows; row++) {
      const size = view.getFloat32(4 * row, true);
      const curve = [];
      let step = 0;
      let difference = 0;
      for (let i = 0; i < points; i++) {
        difference += view.getInt16(4 * rows + 2 * (row * points + i), true);
        step += difference;
        curve.push(size * step);
      }
      curves.push(curve);
    }
    return curves; // values at each softness, then derivatives
  }

  function load(name) {
    if (!tables.has(name)) {
      const table = new Promise((resolve) => arrived.set(name, resolve));
      tables.set(name, table);
      const script = document.createElement("script");
      script.src = `generated/try_it/${name}.js`;
      document.head.append(script);
    }
    return tables.get(name);
  }

  function add(name, table) {
    arrived.get(name)(table);
  }

  // ---- drawing

  function svgElement(parent, tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) {
      made.setAttribute(key, value);
    }
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  // Steps of 1, 2 or 5 times a power of ten, about `count` of them.
  function ticks([low, high], count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-6); i * step <= high + 1e-6 * step; i++) {
      found.push(Number((i * step).toPrecision(6)));
    }
    return { found, step };
  }

  // Spikes would leave nothing to be seen of the rest: the outermost 0.6 % are cut.
  function rangeOf(curves) {
    let low = 0;
    let high = 0;
    for (const curve of curves) {
      const sorted = [...curve].sort((a, b) => a - b);
      low = Math.min(low, sorted[1]);
      high = Math.max(high, sorted[sorted.length - 2]);
    }
    const { step } = ticks([low, high + 1e-6], 4);
    return [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  }

  // Hard curves jump, soft ones are only steep.
  function pathOf(curve, jumping, toX, toY) {
    let path = "";
    for (let i = 0; i < curve.length; i++) {
      const jumps = i === 0 || (jumping && Math.abs(curve[i] - curve[i - 1]) > 0.2);
      path += `${jumps ? "M" : "L"}${toX(i).toFixed(1)} ${toY(curve[i]).toFixed(2)}`;
    }
    return path;
  }

  // Lines are [kind, numbers]; the last of them has the marker at `at`.
  function plot(svg, lines, reach, range, at, label) {
    const width = svg.clientWidth;
    const height = svg.clientHeight;
    const [left, right, top, bottom] = [44, width - 10, 8, height - 22];
    const margin = 0.04 * (range[1] - range[0]);
    const [low, high] = [range[0] - margin, range[1] + margin];
    const last = lines[0][1].length - 1;
    const toX = (i) => left + ((right - left) * i) / last;
    const toY = (y) => bottom - ((bottom - top) * (y - low)) / (high - low);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-label", label);
    for (const y of ticks([low, high], 5).found) {
      const line = { class: "try-grid", x1: left, x2: right, y1: toY(y), y2: toY(y) };
      svgElement(svg, "line", line);
      svgElement(svg, "text", { x: left - 6, y: toY(y) + 4, "text-anchor": "end" }, y);
    }
    for (const x of ticks([-reach, reach], 5).found) {
      const px = toX((last * (x + reach)) / (2 * reach));
      const line = { class: "try-grid", x1: px, x2: px, y1: top, y2: bottom };
      svgElement(svg, "line", line);
      svgElement(svg, "text", { x: px, y: height - 6, "text-anchor": "middle" }, x);
    }
    const clip = svgElement(svg, "clipPath", { id: `${svg.id}-clip` });
    const frame = { x: left, y: top, width: right - left, height: bottom - top };
    svgElement(clip, "rect", frame);
    const inside = svgElement(svg, "g", { "clip-path": `url(#${svg.id}-clip)` });
    for (const [kind, curve] of lines) {
      const path = pathOf(curve, ["hard", "straight"].includes(kind), toX, toY);
      svgElement(inside, "path", { class: `try-line-${kind}`, d: path });
    }
    const marked = lines[lines.length - 1][1];
    const marker = { class: "try-marker", x1: toX(at), x2: toX(at), y1: top, y2: bottom };
    svgElement(inside, "line", marker);
    svgElement(inside, "circle", { cx: toX(at), cy: toY(marked[at]), r: 4 });
  }

  // ---- the state of the controls

  function chosen() {
    const operator = operators[form.elements.operator.value];
    const data = new FormData(form);
    return {
      name: form.elements.operator.value,
      operator,
      mode: data.get("mode"),
      method: operator.methods.length ? data.get("method") : "",
      level: Number(data.get("softness")),
      at: Number(data.get("x")),
      straight: operator.straight_through && data.has("straight"),
    };
  }

  function keywords({ mode, method, level }) {
    const given = [`softness=${softnesses[level]}`, `mode="${mode}"`];
    if (method) given.push(`method="${method}"`);
    return given.join(", ");
  }

  function expressionOf(state) {
    let expression = state.operator.expression;
    if (state.straight) expression = expression.replace(/sj\.(\w+)/, "sj.$1_st");
    return expression.replaceAll("**keywords", keywords(state));
  }

  function codeOf(state, points) {
    const { reach } = state.operator;
    return [
      "import jax",
      "import jax.numpy as jnp",
      "import softjax as sj",
      "",
      `f = lambda x: ${expressionOf(state)}`,
      `x = jnp.linspace(${-reach}, ${reach}, ${points})`,
      "y, slope = jax.vmap(jax.value_and_grad(f))(x)",
    ].join("\n");
  }

  const short = (y) => String(Number((Math.abs(y) < 5e-4 ? 0 : y).toPrecision(3)));

  async function update() {
    const mine = ++latest;
    const state = chosen();
    const { operator, mode, method, level, at, straight } = state;
    const table = await load(state.name);
    const curves = await decode(table.curves[`${mode} ${method}`.trim()]);
    if (mine !== latest) return;
    const [hard, hardSlope] = table.hard;
    const value = straight ? hard : curves[level];
    const slope = curves[level + softnesses.length];
    const { reach } = operator;
    const x = -reach + (2 * reach * at) / (hard.length - 1);
    const what = `${straight ? "straight-through" : "soft"}: ${keywords(state)}`;

    const values = [["hard", hard], [straight ? "straight" : "soft", value]];
    const slopes = [["hard", hardSlope], ["soft", slope]];
    if (kept && kept.name === state.name) {
      values.splice(1, 0, ["kept", kept.value]);
      slopes.splice(1, 0, ["kept", kept.slope]);
    }
    const told = (quantity, curve) =>
      `The ${quantity} of ${operator.label}, ${what}: ${short(curve[0])} at x = ` +
      `${short(-reach)}, ${short(curve[at])} at x = ${short(x)}, ` +
      `${short(curve[curve.length - 1])} at x = ${short(reach)}.`;
    plot(element("value"), values, reach, table.range, at, told("value", value));
    const range = rangeOf(slopes.map(([, curve]) => curve));
    plot(element("slope"), slopes, reach, range, at, told("derivative", slope));

    const readout =
      `x = ${short(x)}: value ${short(value[at])} (hard: ${short(hard[at])}), ` +
      `derivative ${short(slope[at])} (hard: ${short(hardSlope[at])})`;
    element("readout").textContent = readout;
    element("x").setAttribute("aria-valuetext", readout);
    element("softness").setAttribute("aria-valuetext", String(softnesses[level]));
    element("softness-now").textContent = softnesses[level];
    element("what").textContent = what;
    element("code").textContent = codeOf(state, hard.length);
    const shown = kept && kept.name === state.name;
    element("kept-what").replaceChildren();
    if (shown) {
      const key = document.createElement("span");
      key.className = "try-key try-kept";
      element("kept-what").append(key, ` ${kept.what}`);
    }
    element("keep").onclick = () => {
      kept = { name: state.name, value, slope, what: `kept, ${what}` };
      update();
    };
  }

  // ---- the controls

  function radios(name, values, current, available) {
    const group = element(name);
    group.querySelectorAll("label").forEach((label) => label.remove());
    for (const value of values) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name, value, checked: value === current });
      input.disabled = !available(value);
      label.append(input, ` ${value}`);
      group.append(label);
    }
    group.hidden = values.length === 0;
  }

  // What an operator or a method does not have is left out, or can't be chosen.
  function offer(focused) {
    const operator = operators[form.elements.operator.value];
    const data = new FormData(form);
    const pick = (all, wanted) => (all.includes(wanted) ? wanted : all[0] ?? "");
    const method = pick(operator.methods, data.get("method"));
    const has = (mode) => operator.choices.includes(`${mode} ${method}`.trim());
    const mode = pick(operator.modes.filter(has), data.get("mode"));
    if (focused !== "method") radios("method", operator.methods, method, () => true);
    if (focused !== "mode") radios("mode", operator.modes, mode, has);
    form.elements.straight.disabled = !operator.straight_through;
  }

  function remember() {
    const { name, mode, method, level, straight } = chosen();
    const query = new URLSearchParams({ operator: name, mode });
    if (method) query.set("method", method);
    query.set("softness", softnesses[level]);
    if (straight) query.set("straight", "");
    try {
      history.replaceState(null, "", `?${query}`);
    } catch {
      // Some browsers refuse it to pages that are opened from a folder.
    }
  }

  // The controls as the address has them.
  function recall() {
    const query = new URLSearchParams(location.search);
    const name = query.get("operator");
    form.elements.operator.value = name in operators ? name : "rank";
    offer();
    for (const group of ["method", "mode"]) {
      const found = [...form.elements]
        .find((e) => e.name === group && e.value === query.get(group) && !e.disabled);
      if (found) found.checked = true;
      offer(group);
    }
    const level = softnesses.indexOf(Number(query.get("softness") ?? 0.1));
    form.elements.softness.value = level < 0 ? softnesses.indexOf(0.1) : level;
    form.elements.straight.checked = query.has("straight");
  }

  function followPointer(svg) {
    const move = (event) => {
      if (event.type === "pointermove" && event.pointerType !== "mouse") {
        if (event.pressure === 0) return;
      }
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left - 44) / (box.width - 54);
      form.elements.x.value = Math.round(share * Number(form.elements.x.max));
      update();
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
  }

  function begin({ points, softness, operators: all }) {
    if (typeof DecompressionStream === "undefined") {
      element("old").hidden = false;
      return;
    }
    softnesses = softness;
    operators = all;
    const groups = new Map();
    for (const [name, { group, label }] of Object.entries(operators)) {
      if (!groups.has(group)) {
        const made = document.createElement("optgroup");
        made.label = group;
        groups.set(group, made);
        form.elements.operator.append(made);
      }
      groups.get(group).append(new Option(label, name));
    }
    form.elements.softness.max = softness.length - 1;
    form.elements.x.max = points - 1;
    form.elements.x.value = Math.round(0.6 * points);
    form.hidden = false;
    recall();
    form.addEventListener("input", (event) => {
      if (["operator", "mode", "method"].includes(event.target.name)) {
        offer(event.target.name);
      }
      update();
    });
    form.addEventListener("change", remember);
    form.addEventListener("submit", (event) => event.preventDefault());
    [element("value"), element("slope")].forEach(followPointer);
    new ResizeObserver(update).observe(form);
  }

  return { begin, add };
})();
