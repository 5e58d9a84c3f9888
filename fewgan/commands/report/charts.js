/* Charts: those of one group share what part of the axis they show */
const charts = [];
const views = new Map();
const hidden = new Set();
let smooth = false;
const LEFT = 50, RIGHT = 12, TOP = 8, BOTTOM = 24, HEIGHT = 210;

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const size = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw) || 10 * power;
  const found = [];
  for (let index = Math.ceil(low / size); index * size <= high + size * 1e-9 && found.length < 20; index++) {
    found.push(Number((index * size).toPrecision(12)));
  }
  return found;
}
function averaged(values) {
  const weight = clamp(values.length / 15, 3, 40);
  let sum = 0, mass = 0;
  return values.map((value) => {
    sum = sum * (1 - 1 / weight) + value;
    mass = mass * (1 - 1 / weight) + 1;
    return sum / mass;
  });
}
const runName = (run) => (data.runs.length > 1 ? " (" + (run ? "second run" : "first run") + ")" : "");
const lineName = (line) => line.label + runName(line.run);
const colour = (line) => "s" + (line.color % 8) + (line.run ? " dash" : "");

function summary(spec) {
  return spec.title + ". " + spec.lines.map((line) => {
    let low = line.y[0], high = line.y[0];
    for (const value of line.y) { low = Math.min(low, value); high = Math.max(high, value); }
    return lineName(line) + ": last " + shown(line.y[line.y.length - 1]) + ", lowest " + shown(low) +
      ", highest " + shown(high);
  }).join(". ") + ".";
}

function chart(spec, place) {
  const root = make("div", { class: "chart-card" });
  const legend = make("div", { class: "legend" });
  const frame = make("div", {
    class: "chart", tabindex: "0", role: "group",
    "aria-label": spec.title + ", chart. Arrow keys read values, plus and minus zoom, Escape shows all.",
  });
  const svg = draw("svg", { role: "img", "aria-label": summary(spec), height: HEIGHT });
  const tip = make("div", { class: "tip", role: "status" });
  tip.hidden = true;
  frame.append(svg, tip);
  root.append(make("h3", {}, spec.title), legend, frame);
  root.append(make("p", { class: "note" }, (spec.note + " " + best(spec)).trim()));
  place.append(root);
  let width = 0, scale = null, at = null, from = null;

  const id = (line) => spec.key + "/" + line.run + "/" + line.color;
  const lines = () => spec.lines.filter((line) => !hidden.has(id(line)));
  spec.lines.forEach((line) => {
    const sample = draw("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" });
    draw("line", { x1: 1, x2: 21, y1: 5, y2: 5, class: "curve " + colour(line) }, sample);
    const button = make("button", { type: "button", "aria-pressed": String(!hidden.has(id(line))) }, sample, lineName(line));
    button.addEventListener("click", () => {
      if (hidden.has(id(line))) hidden.delete(id(line)); else hidden.add(id(line));
      button.setAttribute("aria-pressed", String(!hidden.has(id(line))));
      render();
    });
    legend.append(button);
  });

  function extent() {
    let low = spec.group === "steps" ? 0 : Infinity, high = -Infinity;
    for (const line of data.charts.filter((one) => one.group === spec.group).flatMap((one) => one.lines)) {
      low = Math.min(low, line.x[0]);
      high = Math.max(high, line.x[line.x.length - 1]);
    }
    return high > low ? [low, high] : [low - 1, high + 1];
  }
  function render() {
    width = frame.clientWidth;
    if (!width) return;
    svg.replaceChildren();
    svg.setAttribute("viewBox", "0 0 " + width + " " + HEIGHT);
    const [low, high] = views.get(spec.group) || extent();
    let bottom = Infinity, top = -Infinity;
    const drawn = lines().map((line) => {
      const smoothed = smooth && line.y.length > 20 ? averaged(line.y) : null;
      const first = Math.max(0, line.x.findIndex((x) => x >= low) - 1);
      let last = line.x.length - 1;
      while (last > 0 && line.x[last - 1] > high) last--;
      for (let index = first; index <= last; index++) {
        if (line.x[index] < low || line.x[index] > high) continue;
        const value = smoothed ? smoothed[index] : line.y[index];
        bottom = Math.min(bottom, value);
        top = Math.max(top, value);
      }
      return { line, smoothed, first, last };
    });
    if (!(top >= bottom)) { bottom = 0; top = 1; }
    const space = (top - bottom) * 0.06 || Math.abs(top) * 0.1 || 1;
    bottom -= space;
    top += space;
    const x = (value) => LEFT + (value - low) / (high - low) * (width - LEFT - RIGHT);
    const y = (value) => TOP + (top - value) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
    scale = { low, high, x, y, inverse: (px) => low + (px - LEFT) / (width - LEFT - RIGHT) * (high - low) };
    for (const value of ticks(bottom, top, 4)) {
      draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "rule" }, svg);
      draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end", class: "axis" }, svg).textContent = shown(value);
    }
    for (const value of ticks(low, high, clamp(width / 70, 2, 8))) {
      const anchor = x(value) > width - 20 ? "end" : "middle";
      draw("text", { x: anchor === "end" ? width - 2 : x(value), y: HEIGHT - 6, "text-anchor": anchor, class: "axis" }, svg)
        .textContent = shown(value);
    }
    const clip = "clip-" + spec.key;
    draw("rect", { x: LEFT - 7, y: 0, width: Math.max(1, width - LEFT - RIGHT + 14), height: HEIGHT - BOTTOM + 2 },
      draw("clipPath", { id: clip }, svg));
    const inside = draw("g", { "clip-path": "url(#" + clip + ")" }, svg);
    for (const { line, smoothed, first, last } of drawn) {
      const path = (values) => {
        let text = "";
        for (let index = first; index <= last; index++) {
          text += (text ? "L" : "M") + x(line.x[index]).toFixed(1) + " " + y(values[index]).toFixed(1);
        }
        return text;
      };
      if (smoothed) draw("path", { d: path(line.y), class: "curve raw " + colour(line) }, inside);
      draw("path", { d: path(smoothed || line.y), class: "curve " + colour(line) }, inside);
      if (line.x.length < 12) {
        for (let index = first; index <= last; index++) {
          draw("circle", { cx: x(line.x[index]), cy: y(line.y[index]), r: 3, class: "dot s" + line.color % 8 }, inside);
        }
      }
      if (spec.best && line.y.length > 1) {
        const lowest = line.y.indexOf(line.y.reduce((a, b) => Math.min(a, b)));
        draw("circle", { cx: x(line.x[lowest]), cy: y(line.y[lowest]), r: 6, class: "best s" + line.color % 8 }, inside);
      }
    }
    svg.here = draw("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "here" }, inside);
    svg.over = draw("g", {}, svg);
    mark();
    if (at !== null) read(at);
  }
  function mark() {
    if (!scale || !svg.here) return;
    const current = spec.group === "steps" && frames().length > 1 ? frames()[player.index] : null;
    svg.here.setAttribute("visibility", current ? "visible" : "hidden");
    if (current) {
      svg.here.setAttribute("x1", scale.x(current.step));
      svg.here.setAttribute("x2", scale.x(current.step));
    }
  }
  function points() {
    const all = new Set(lines().flatMap((line) => line.x));
    return [...all].filter((x) => x >= scale.low && x <= scale.high).sort((a, b) => a - b);
  }
  function read(value) {
    const places = points();
    svg.over.replaceChildren();
    if (!places.length) return away();
    at = places[nearest(places, value)];
    const px = scale.x(at);
    draw("line", { x1: px, x2: px, y1: TOP, y2: HEIGHT - BOTTOM, class: "cross" }, svg.over);
    tip.replaceChildren(make("b", {}, spec.x + " " + shown(at)));
    for (const line of lines()) {
      const index = nearest(line.x, at);
      if (Math.abs(line.x[index] - at) > (scale.high - scale.low) / 20) continue;
      draw("circle", { cx: scale.x(line.x[index]), cy: scale.y(line.y[index]), r: 4, class: "dot s" + line.color % 8 }, svg.over);
      const where = line.x[index] === at ? "" : " at " + shown(line.x[index]);
      tip.append(make("span", {}, lineName(line) + where + ": " + shown(line.y[index])));
    }
    tip.hidden = false;
    const left = px + 14 + tip.offsetWidth > width ? px - tip.offsetWidth - 14 : px + 14;
    tip.style.left = clamp(left, 0, Math.max(0, width - tip.offsetWidth)) + "px";
    tip.style.top = TOP + "px";
  }
  function away() {
    at = null;
    tip.hidden = true;
    if (svg.over) svg.over.replaceChildren();
  }
  const place_of = (event) => clamp(event.clientX - svg.getBoundingClientRect().left, LEFT, width - RIGHT);
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = place_of(event);
    if (event.pointerType === "touch") read(scale.inverse(from));
    else svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!scale) return;
    const px = place_of(event);
    read(scale.inverse(px));
    if (from !== null && event.pointerType !== "touch" && Math.abs(px - from) > 6) {
      draw("rect", { x: Math.min(px, from), width: Math.abs(px - from), y: TOP, height: HEIGHT - TOP - BOTTOM, class: "drag" }, svg.over);
    }
  });
  svg.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [start, end] = [from, place_of(event)].sort((a, b) => a - b).map(scale.inverse);
    const far = Math.abs(place_of(event) - from) > 6;
    from = null;
    if (event.pointerType === "touch") return;
    if (far) zoom(spec.group, [start, end]);
    else if (spec.group === "steps" && frames().length > 1) {
      stop();
      showFrame(nearest(frames().map((one) => one.step), start));
    }
  });
  svg.addEventListener("pointercancel", () => { from = null; });
  svg.addEventListener("pointerleave", () => { if (from === null) away(); });
  svg.addEventListener("dblclick", () => zoom(spec.group, null));
  frame.addEventListener("blur", away);
  frame.addEventListener("keydown", (event) => {
    if (!scale || event.ctrlKey || event.metaKey || event.altKey) return;
    const places = points();
    const now = at === null ? -1 : nearest(places, at);
    if (event.key === "ArrowRight") read(places[Math.min(now + 1, places.length - 1)]);
    else if (event.key === "ArrowLeft") read(places[at === null ? places.length - 1 : Math.max(now - 1, 0)]);
    else if (event.key === "Home") read(places[0]);
    else if (event.key === "End") read(places[places.length - 1]);
    else if (event.key === "+" || event.key === "=") closer(spec.group, 0.5, at);
    else if (event.key === "-") closer(spec.group, 2, at);
    else if (event.key === "Escape") { away(); zoom(spec.group, null); }
    else return;
    event.preventDefault();
  });
  const observer = new ResizeObserver(() => { if (frame.clientWidth !== width) render(); });
  observer.observe(frame);
  render();
  return { spec, render, mark, extent, end: () => observer.disconnect() };
}
function best(spec) {
  if (!spec.best) return "";
  return spec.lines.filter((line) => line.y.length > 1).map((line) => {
    const low = line.y.reduce((a, b) => Math.min(a, b));
    return "Lowest " + lineName(line) + ": " + shown(low) + " at " + spec.x + " " + shown(line.x[line.y.indexOf(low)]) + ".";
  }).join(" ");
}
function zoom(group, view) {
  const [low, high] = charts.find((one) => one.spec.group === group).extent();
  if (view) view = [Math.max(view[0], low), Math.min(view[1], high)];
  if (view && (view[0] > low || view[1] < high) && view[1] - view[0] > (high - low) / 1e4) views.set(group, view);
  else if (!view || view[1] - view[0] >= high - low) views.delete(group);
  charts.filter((one) => one.spec.group === group).forEach((one) => one.render());
}
function closer(group, factor, around) {
  const [low, high] = views.get(group) || charts.find((one) => one.spec.group === group).extent();
  const middle = around === null || around === undefined ? (low + high) / 2 : around;
  const half = (high - low) * factor / 2;
  zoom(group, [middle - half, middle + half]);
}
function startCharts() {
  charts.splice(0).forEach((one) => one.end());
  document.querySelectorAll(".charts").forEach((place) => place.replaceChildren());
  for (const spec of data.charts) {
    if (byId(spec.place) && spec.lines.length) charts.push(chart(spec, byId(spec.place)));
  }
}
