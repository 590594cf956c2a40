// Puts the page together.

const THEME = "dspex-testkit-report-theme";

function draw() {
  drawCount();
  drawTotals();
  drawTimeline();
  drawCalls();
}

function drawHead() {
  const sum = sums(allCalls);
  const parts = [
    plural(sum.calls, "LM call"),
    plural(data.lms.length, "LM"),
    plural(sum.switches, "switch", "switches"),
  ];
  if (sum.errors) parts.push(plural(sum.errors, "error"));
  if (sum.spent !== null) parts.push(`${dollars(sum.spent)} spent`);
  if (sum.avoided !== null) parts.push(`${dollars(sum.avoided)} avoided`);
  $("summary").textContent = parts.join(" · ");
  $("meta").replaceChildren(
    ...Object.entries(data.meta).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

function drawCount() {
  const total = number(allCalls.length);
  $("count").textContent =
    state.calls.length === allCalls.length ? `${total} calls` : `${number(state.calls.length)} of ${total} calls`;
  const pages = pageCount();
  $("turn").hidden = pages === 1;
  $("previous").disabled = state.page === 0;
  $("next").disabled = state.page === pages - 1;
  $("page").replaceChildren(
    ...Array.from({ length: pages }, (_, index) => el("option", { value: index }, `${index + 1} of ${pages}`)),
  );
  $("page").value = state.page;
}

function turnTo(page) {
  state.page = page;
  draw();
}

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  $("theme").value = theme;
}

// Only a choice is written down, never what was read: a page that is loaded again at once may not see the choice yet,
// and would wipe it out. A page opened from a file may have no storage; then the choice lasts as long as the page.
function chooseTheme(theme) {
  applyTheme(theme);
  try {
    if (theme) localStorage.setItem(THEME, theme);
    else localStorage.removeItem(THEME);
  } catch {
    return;
  }
}

function storedTheme() {
  try {
    const theme = localStorage.getItem(THEME);
    return ["light", "dark"].includes(theme) ? theme : "";
  } catch {
    return "";
  }
}

applyTheme(storedTheme());
$("theme").addEventListener("change", (event) => chooseTheme(event.target.value));
$("previous").addEventListener("click", () => turnTo(state.page - 1));
$("next").addEventListener("click", () => turnTo(state.page + 1));
$("page").addEventListener("change", (event) => turnTo(Number(event.target.value)));
drawHead();
drawFilters();
narrow();
draw();
