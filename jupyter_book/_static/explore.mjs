// Controls for what s1lib/explore.py wrote. Without this module all of it stands there to read;
// with it, a reader sees one stop of one trace, or the traces that match.

export function budgets(root) {
  const form = root.querySelector("form");
  const { problem, budget, waits } = form.elements;
  const said = form.querySelector("output");
  const articles = [...root.querySelectorAll("[data-problem]")];
  let stops = [];
  const withWaits = (some) => stops.filter((stop) => (stop.dataset.waits !== "0") === some);

  function choose() {
    const article = articles[problem.selectedIndex];
    for (const other of articles) other.hidden = other !== article;
    for (const part of root.querySelectorAll("[data-part]")) part.hidden = !part.contains(article);
    stops = [...article.querySelectorAll("[data-label]")];
    budget.max = withWaits(false).length - 1;
    waits.max = withWaits(true).length;
    show();
  }

  function show() {
    const ignored = Number(waits.value);
    const stop = ignored ? withWaits(true)[ignored - 1] : withWaits(false)[Number(budget.value)];
    for (const other of stops) {
      other.hidden = stops.indexOf(other) > stops.indexOf(stop);
      other.querySelector(".answer").hidden = other !== stop;
    }
    const here = root.querySelectorAll("[data-part]:not([hidden]) figure [data-label]");
    for (const mark of here) mark.classList.toggle("here", mark.dataset.label === stop.dataset.label);
    const row = [...here].find((mark) => mark.matches("tr.here"));
    const level = row ? `; of all problems here, ${row.cells[2].textContent}% are right` : "";
    said.textContent = stop.querySelector(".answer").textContent + level;
    for (const slider of [budget, waits]) slider.setAttribute("aria-valuetext", stop.dataset.label);
  }

  problem.addEventListener("change", choose);
  budget.addEventListener("input", () => { waits.value = 0; show(); });
  // An end can be ignored only where there is one: without a budget.
  waits.addEventListener("input", () => { budget.value = budget.max; show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  budget.value = waits.value = 0;
  choose();
}

export function traces(root) {
  const form = root.querySelector("form");
  const { words, domain, verdict } = form.elements;
  const said = root.querySelector("output");
  const rows = [...root.querySelectorAll("li")];
  const whole = said.textContent;

  function show() {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let found = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = (!domain.value || row.dataset.domain === domain.value)
        && (!verdict.value || row.dataset.verdict === verdict.value)
        && wanted.every((word) => text.includes(word));
      row.hidden = !fits;
      found += fits;
    }
    said.textContent = found === rows.length ? whole : `${found} of ${rows.length} traces match.`;
  }

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
}

// In a notebook this runs once for each output: what has its controls already is left alone.
for (const root of document.querySelectorAll("[data-explore]")) {
  const fresh = root.querySelector("form[hidden]") && root.querySelector("li");
  if (fresh) ({ budgets, traces })[root.dataset.explore](root);
}
