/* Buttons, renewal, start */
function startTools() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const group = button.dataset.group;
    if (button.dataset.zoom && charts.some((one) => one.spec.group === group)) {
      if (button.dataset.zoom === "reset") zoom(group, null);
      else closer(group, button.dataset.zoom === "in" ? 0.5 : 2, null);
    }
    if (button.dataset.copy !== undefined) copy(button);
    if (button.id === "play") play();
  });
  document.addEventListener("input", (event) => {
    if (event.target.id !== "slider") return;
    stop();
    showFrame(Number(event.target.value));
  });
  document.addEventListener("change", (event) => {
    if (event.target.id !== "smooth") return;
    smooth = event.target.checked;
    charts.forEach((one) => one.render());
  });
}
async function copy(button) {
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

/* A page that is served renews itself: parts that differ are replaced, where one looks stays */
const parts = (page) => new Map([...page.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
const former = new Map([...parts(document)].map(([name, part]) => [name, part.outerHTML]));
let state = data.state;
async function renew() {
  try {
    const now = await (await fetch("state", { cache: "no-store" })).text();
    if (now !== state) {
      const page = new DOMParser().parseFromString(await (await fetch("./", { cache: "no-store" })).text(), "text/html");
      const last = player.index >= frames().length - 1 && !player.timer;
      data = reading(page);
      state = data.state;
      const here = parts(document);
      for (const [name, part] of parts(page)) {
        if (here.has(name) && former.get(name) !== part.outerHTML) {
          former.set(name, part.outerHTML);
          here.get(name).replaceWith(document.adoptNode(part));
        }
      }
      document.title = page.title;
      startSamples(last ? frames().length - 1 : player.index);
      if (byId("smooth")) byId("smooth").checked = smooth;
      startCharts();
      byId("live").textContent = "Updated at " + new Date().toLocaleTimeString() + ".";
    }
  } catch {
    byId("live").textContent = "The server has stopped; this is what it showed last.";
  }
  setTimeout(renew, data.every);
}

startTools();
startCharts();
startSamples(frames().length - 1);
if (data.live) setTimeout(renew, data.every);
