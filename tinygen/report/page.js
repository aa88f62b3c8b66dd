"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector) => document.querySelector(selector);
const several = data.runs.length > 1;

// What all parts of the page show: the epoch of the samples, the epoch under the pointer, and the epochs of the curves.
const state = { epoch: data.epochs, hover: null, from: 1, to: Math.max(2, data.epochs), smoothing: 0 };
const listeners = [];
function change(changes) {
  Object.assign(state, changes);
  listeners.forEach((listener) => listener());
}

function make(parent, name, attributes = {}, text = null) {
  const svg = ["svg", "path", "line", "text", "circle", "rect"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return parent.appendChild(node);
}

function caption(figure, run, text = "") {
  const node = make(figure, "figcaption");
  if (several) make(node, "i", { class: `dot c${run % 8}` });
  node.append((several ? data.runs[run].name : "") + text);
}

// Pixels are drawn twice as large where there is room.
function sized(image) {
  image.onload = () => { image.width = image.naturalWidth * (image.naturalWidth < 600 ? 2 : 1); };
}

function films() {
  const shown = data.runs.map((run, i) => [run, i]).filter(([run]) => Object.keys(run.frames).length);
  if (!shown.length) return;
  find("#film").hidden = false;
  const slider = find("#epoch"), play = find("#play");
  slider.max = data.epochs;
  for (const [run, i] of shown) {
    const figure = make(find("#film .films"), "figure");
    if (several) caption(figure, i);
    const epochs = Object.keys(run.frames).map(Number);
    const images = epochs.map((epoch) => {
      const image = new Image();
      sized(image);
      image.alt = `samples of ${run.name} after epoch ${epoch}`;
      image.src = run.frames[epoch];
      return image;
    });
    const place = make(figure, "div");
    listeners.push(() => {
      const before = epochs.filter((epoch) => epoch <= state.epoch).length;
      place.replaceChildren(images[Math.max(0, before - 1)]);
    });
  }
  listeners.push(() => {
    slider.value = state.epoch;
    find("#shown").textContent = `epoch ${state.epoch} of ${data.epochs}`;
  });
  slider.oninput = () => change({ epoch: Number(slider.value) });
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.innerHTML = "&#9654;";
  };
  play.onclick = () => {
    if (timer) return stop();
    play.innerHTML = "&#10074;&#10074;";
    if (state.epoch === data.epochs) change({ epoch: 1 });
    timer = setInterval(() => (state.epoch < data.epochs ? change({ epoch: state.epoch + 1 }) : stop()), Math.max(60, Math.min(400, 8000 / data.epochs)));
  };
}

// The exponential moving average, divided by the sum of its weights (Kingma & Ba, 2015).
function smoothed(values) {
  let sum = 0, weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = state.smoothing * sum + (1 - state.smoothing) * value;
    weight = state.smoothing * weight + 1 - state.smoothing;
    return sum / weight;
  });
}

function short(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  return size && (size >= 1e5 || size < 1e-3) ? value.toExponential(1).replace(".0", "") : String(Number(value.toPrecision(4)));
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function chart(description) {
  const figure = make(find(".charts"), "figure", { class: "chart" });
  const head = make(figure, "figcaption");
  make(head, "b", {}, description.title);
  if (description.about) make(head, "span", { class: "about" }, ` ${description.about}`);
  const legend = make(figure, "div", { class: "legend" });
  const svg = make(figure, "svg", { role: "img", "aria-label": `curves of ${description.title}` });
  const left = 46, right = 10, top = 8, bottom = 24, height = 210;
  let width = 0, start = null;
  const x = (epoch) => left + ((epoch - state.from) / (state.to - state.from)) * (width - left - right);
  const style = (curve) => `c${curve.colour}${curve.dash ? " dash" : ""}${curve.baseline ? " baseline" : ""}`;

  function draw() {
    width = svg.clientWidth;
    svg.replaceChildren();
    legend.replaceChildren();
    const visible = (curve) => curve.values.filter((value, i) => value !== null && curve.epochs[i] >= state.from && curve.epochs[i] <= state.to);
    const all = description.curves.flatMap(visible);
    let low = Math.min(...all), high = Math.max(...all);
    if (!all.length) [low, high] = [0, 1];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - room, high + room];
    const y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
    for (const tick of ticks(low, high, 4)) {
      make(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) });
      make(svg, "text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, short(tick));
    }
    for (const tick of ticks(state.from, state.to, Math.max(2, width / 90)).filter(Number.isInteger)) {
      make(svg, "text", { x: x(tick), y: height - 6, "text-anchor": "middle" }, tick);
    }
    const now = state.hover ?? state.epoch;
    if (now >= state.from && now <= state.to) make(svg, "line", { class: "now", x1: x(now), x2: x(now), y1: top, y2: height - bottom });
    for (const curve of description.curves) {
      const line = (values, kind) => {
        let path = "", pen = "M";
        values.forEach((value, i) => {
          const inside = value !== null && curve.epochs[i] >= state.from && curve.epochs[i] <= state.to;
          if (inside) path += `${pen}${x(curve.epochs[i]).toFixed(1)} ${y(value).toFixed(1)}`;
          pen = inside ? "L" : "M";
        });
        make(svg, "path", { class: `${style(curve)} ${kind}`, d: path });
      };
      const values = smoothed(curve.values);
      if (state.smoothing > 0) line(curve.values, "raw");
      line(values, "");
      const at = curve.epochs.findLastIndex((epoch) => epoch <= now), epoch = curve.epochs[at], value = values[at] ?? null;
      if (value !== null && epoch >= state.from && epoch <= state.to) make(svg, "circle", { class: style(curve), cx: x(epoch), cy: y(value), r: 4 });
      const entry = make(legend, "span");
      make(make(entry, "svg", { viewBox: "0 0 22 10" }), "path", { class: style(curve), d: "M0 5H22" });
      const name = several ? `${data.runs[curve.run].name}${description.curves.some((c) => c.name !== curve.name) ? ` ${curve.name}` : ""}` : curve.name;
      entry.append(`${name} `);
      make(entry, "b", {}, short(value));
    }
    if (start !== null && state.hover !== null && state.hover !== start) {
      const [a, b] = [start, state.hover].sort((p, q) => p - q);
      make(svg, "rect", { class: "chosen", x: x(a), width: x(b) - x(a), y: top, height: height - top - bottom });
    }
  }

  const under = (event) => {
    const share = (event.clientX - svg.getBoundingClientRect().left - left) / (width - left - right);
    return Math.round(Math.min(state.to, Math.max(state.from, state.from + share * (state.to - state.from))));
  };
  svg.onpointermove = (event) => change({ hover: under(event) });
  svg.onpointerleave = () => { start = null; change({ hover: null }); };
  svg.onpointerdown = (event) => {
    start = event.pointerType === "mouse" ? under(event) : null;
    change({ hover: under(event) });
  };
  svg.onpointerup = (event) => {
    const [a, b] = [start ?? under(event), under(event)].sort((p, q) => p - q);
    start = null;
    change(b > a ? { from: a, to: b } : { epoch: a });
  };
  svg.ondblclick = (event) => {
    const quarter = Math.max(1, (state.to - state.from) / 8), at = under(event), zoomed = state.to - state.from < data.epochs - 1;
    change(zoomed ? whole() : { from: Math.max(1, Math.floor(at - quarter)), to: Math.min(data.epochs, Math.ceil(at + quarter)) });
  };
  new ResizeObserver(draw).observe(svg);
  listeners.push(draw);
}

const whole = () => ({ from: 1, to: Math.max(2, data.epochs) });

function curves() {
  if (!data.charts.length) return;
  find("#curves").hidden = false;
  data.charts.forEach(chart);
  find("#smoothing").oninput = (event) => change({ smoothing: Number(event.target.value) });
  find("#whole").onclick = () => change(whole());
  listeners.push(() => { find("#whole").hidden = state.from === 1 && state.to >= data.epochs; });
}

function plane(run, i) {
  find("#plane").hidden = false;
  const figure = make(find(".planes"), "figure"), { plane: address, steps } = run;
  if (several) caption(figure, i);
  const both = make(figure, "div", { class: "plane" });
  const map = make(both, "div", { class: "map", tabindex: "0", role: "application", "aria-label": "latent space: arrow keys move" });
  make(map, "img", { src: address, alt: "decoded images" });
  const frame = make(map, "i", { style: `width:${100 / steps}%;height:${100 / steps}%` });
  const view = make(both, "div", { class: "view", role: "img" });
  view.style.backgroundImage = `url(${address})`;
  view.style.backgroundSize = `${100 * steps}%`;
  let [column, row] = [0, 0];
  const go = (c, r) => {
    [column, row] = [c, r].map((n) => Math.min(steps - 1, Math.max(0, n)));
    view.style.backgroundPosition = `${(100 * column) / (steps - 1)}% ${(100 * row) / (steps - 1)}%`;
    view.setAttribute("aria-label", `image in column ${column + 1}, row ${row + 1}`);
    frame.style.left = `${(100 * column) / steps}%`;
    frame.style.top = `${(100 * row) / steps}%`;
  };
  map.onpointermove = map.onpointerdown = (event) => {
    const box = map.getBoundingClientRect();
    go(Math.floor(((event.clientX - box.left) / box.width) * steps), Math.floor(((event.clientY - box.top) / box.height) * steps));
  };
  map.onkeydown = (event) => {
    const [c, r] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (c || r) event.preventDefault();
    go(column + c, row + r);
  };
  go(Math.floor(steps / 2), Math.floor(steps / 2));
}

function pictures(run, i) {
  for (const [name, address] of Object.entries(run.pictures)) {
    find("#pictures").hidden = false;
    const figure = make(find("#pictures .films"), "figure");
    caption(figure, i, `${several ? ": " : ""}${name}`);
    sized(make(figure, "img", { src: address, alt: name }));
  }
}

films();
curves();
data.runs.forEach((run, i) => run.plane && plane(run, i));
data.runs.forEach(pictures);
change({});
