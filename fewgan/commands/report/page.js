/* What the page is made with, and the samples */
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const reading = (text) => JSON.parse(text.querySelector("#data").textContent);
let data = reading(document);

function make(tag, attributes, ...inner) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...inner);
  return element;
}
function draw(tag, attributes, parent) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (parent) parent.append(element);
  return element;
}
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
function nearest(values, wanted) {
  let low = 0, high = values.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle; else high = middle;
  }
  return Math.abs(values[low] - wanted) <= Math.abs(values[high] - wanted) ? low : high;
}
function shown(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e7 || size < 1e-4) return value.toExponential(2);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return String(Number(value.toPrecision(4)));
}

/* Samples */
const player = { index: -1, timer: null };
const frames = () => data.samples[0] || [];
function showFrame(index) {
  const list = frames();
  if (!list.length) return;
  player.index = clamp(index, 0, list.length - 1);
  const step = list[player.index].step;
  data.samples.forEach((one, run) => {
    const image = byId("sample-" + run);
    if (!image || !one.length) return;
    const frame = one[nearest(one.map((item) => item.step), step)];
    image.width = frame.width;
    image.height = frame.height;
    image.src = frame.uri;
    image.alt = "Grid of generated pictures at step " + frame.step;
    byId("caption-" + run).textContent = "step " + frame.step.toLocaleString("en");
  });
  const slider = byId("slider");
  slider.max = list.length - 1;
  slider.value = player.index;
  slider.setAttribute("aria-valuetext", "step " + step);
  byId("step").textContent = "step " + step.toLocaleString("en");
  charts.forEach((chart) => chart.mark());
}
function stop() {
  clearInterval(player.timer);
  player.timer = null;
  if (byId("play")) byId("play").textContent = "Play";
}
function play() {
  if (player.timer) return stop();
  const list = frames();
  if (player.index >= list.length - 1) showFrame(0);
  byId("play").textContent = "Pause";
  player.timer = setInterval(() => {
    showFrame(player.index + 1);
    if (player.index >= frames().length - 1) stop();
  }, clamp(4000 / list.length, 130, 700));
}
function startSamples(index) {
  if (!byId("slider")) return;
  byId("player").hidden = frames().length < 2;
  showFrame(index);
}
