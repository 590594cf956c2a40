// The table of LMs: the legend of the timeline, and sums over the calls that are shown.

const TOTALS = [
  ["Calls", (sum) => number(sum.calls)],
  ["Switches to it", (sum) => number(sum.switches)],
  ["Errors", (sum) => number(sum.errors)],
  ["Input tokens", (sum) => number(sum.input)],
  ["Output tokens", (sum) => number(sum.output)],
  ["Cost", (sum) => dollars(sum.spent)],
  ["Cost avoided", (sum) => dollars(sum.avoided)],
];

function drawTotals() {
  const groups = new Map();
  for (const call of state.calls) {
    if (!groups.has(call.lm_index)) groups.set(call.lm_index, []);
    groups.get(call.lm_index).push(call);
  }
  const rows = [...groups].sort(([a], [b]) => a - b).map(([lm, calls]) => totalsRow(lmCell(lm), sums(calls)));
  if (rows.length > 1) rows.push(totalsRow(el("th", { scope: "row" }, "All"), sums(state.calls), "all"));
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "LM"),
    ...TOTALS.map(([name]) => el("th", { scope: "col", class: "number" }, name)),
  );
  $("totals").replaceChildren(
    rows.length
      ? el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))
      : el("p", { class: "empty" }, "No LM calls."),
  );
}

function totalsRow(name, sum, kind) {
  return el("tr", { class: kind }, name, ...TOTALS.map(([, write]) => el("td", { class: "number" }, write(sum))));
}

function lmCell(lm) {
  const { name, mocked } = data.lms[lm];
  const note = mocked ? "mock" : "real provider";
  return el(
    "th",
    { scope: "row" },
    swatch(lm),
    " ",
    el("span", { class: "lm-name" }, name),
    " ",
    el("span", { class: mocked ? "note" : "note real" }, note),
  );
}
