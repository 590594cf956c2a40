// The table of calls; each row opens.

const COLUMNS = [
  ["LM", (call) => lmLabel(call)],
  ["Scope", (call) => call.scope ?? NOT_SAID],
  ["Worker", (call) => idCell(call.worker_id, workerNames.get(call.worker_id)), (call) => call.worker_id],
  ["Session", (call) => idCell(call.session_id), (call) => call.session_id],
  ["Program", (call) => idCell(call.program_id), (call) => call.program_id],
  ["Asked", (call) => oneLine(call.inputs)],
  ["Answered", (call) => answer(call)],
  ["Tokens", (call) => tokens(call)],
  ["Cost", (call) => dollars(call.cost), (call) => call.cost],
  ["Time", (call) => duration(call.latency_ms)],
];
const idCell = (id, name = id) => el("span", { class: "clip id", title: id }, name ?? NOT_SAID);
const KINDS = { Asked: "words", Answered: "words", Tokens: "number", Cost: "number", Time: "number" };

let rows = new Map();
const opened = new Set();

function drawCalls() {
  const entries = pageEntries();
  // A column that says nothing about any call would only take room.
  const columns = COLUMNS.filter(([, , value]) => !value || allCalls.some((call) => value(call) != null));
  rows = new Map();
  const bodies = [];
  let test;
  for (const entry of entries) {
    if (entry.test && entry.test !== test) {
      bodies.push(
        el(
          "tr",
          { class: "test-name" },
          el("th", { colspan: columns.length + 1, scope: "rowgroup" }, ...testTitle(entry)),
        ),
      );
    }
    test = entry.test;
    const row = isCall(entry) ? callRow(entry, columns) : changeRow(entry, columns.length);
    bodies.push(row);
    if (opened.has(entry)) bodies.push(detailRow(entry, columns.length));
  }
  const heads = columns.map(([title]) =>
    el("th", { scope: "col", class: KINDS[title] }, title),
  );
  const head = el("tr", {}, el("th", { scope: "col" }, "#"), ...heads);
  $("calls").replaceChildren(
    entries.length
      ? el("table", { class: "calls", onkeydown: moveInCalls }, el("thead", {}, head), el("tbody", {}, ...bodies))
      : el(
          "p",
          { class: "empty" },
          data.entries.length ? "No call matches the filters." : "No LM calls were recorded.",
        ),
  );
  const first = rows.values().next().value;
  if (first) first.tabIndex = 0;
}

function testTitle({ test: name, outcome: told }) {
  const { outcome = told, seed, mode, rerun } = data.tests[name] ?? {};
  const facts = [mode, seed === undefined ? null : `seed ${seed}`].filter(Boolean).join(" · ");
  const result = outcome ? el("span", { class: outcome === "failed" ? "outcome real" : "outcome" }, outcome) : null;
  return [name, result, el("span", { class: "note", title: rerun }, facts)];
}

function callRow(call, columns) {
  const cells = columns.map(([title, write]) => el("td", { class: KINDS[title] }, write(call)));
  const kinds = [failed(call) && "failed", call.parent_id && "part"].filter(Boolean).join(" ");
  return el(
    "tr",
    { class: `call ${kinds}`, onclick: (event) => clickRow(event, call) },
    opener(call, String(call.number), callLabel(call)),
    ...cells,
  );
}

function changeRow(change, count) {
  const label = changeLabel(change);
  const cell = el("td", { colspan: count }, label.replace("Change: ", ""));
  return el("tr", { class: "change", onclick: (event) => clickRow(event, change) }, opener(change, "◆", label), cell);
}

function opener(entry, shown, label) {
  const button = el(
    "button",
    { type: "button", class: "opener", tabindex: -1, "aria-expanded": opened.has(entry), "aria-label": label },
    shown,
  );
  rows.set(entry, button);
  return el("td", {}, button);
}

function lmLabel(call) {
  const { name } = data.lms[call.lm_index];
  const mark =
    call.switched_from === null
      ? null
      : el(
          "span",
          { class: "switch-note", title: `switched from ${data.lms[call.switched_from].name}` },
          ` ⇄ from ${data.lms[call.switched_from].letter}`,
        );
  return el(
    "span",
    { class: "lm-label" },
    swatch(call.lm_index),
    " ",
    el("span", { class: "clip", title: name }, name),
    mark,
  );
}

function answer(call) {
  if (failed(call))
    return el(
      "span",
      { class: "error-text" },
      `${call.fault ? `${call.fault}: ` : ""}${oneLine({ error: call.error })}`,
    );
  const words = oneLine(call.outputs) || oneLine({ completion: call.completion || "" });
  return call.fault ? `(${call.fault}) ${words}` : words;
}

function detailRow(entry, count) {
  return el(
    "tr",
    { class: "detail-row" },
    el("td", { colspan: count + 1 }, isCall(entry) ? callDetails(entry) : changeDetails(entry)),
  );
}

function clickRow(event, entry) {
  // Whoever marks text does not want the row to close.
  if (!event.target.closest("button") && String(getSelection())) return;
  toggle(entry);
}

function toggle(entry, open = !opened.has(entry)) {
  const button = rows.get(entry);
  const row = button.closest("tr");
  if (open === opened.has(entry)) return;
  if (open) {
    opened.add(entry);
    row.after(detailRow(entry, row.parentElement.parentElement.tHead.rows[0].cells.length - 1));
  } else {
    opened.delete(entry);
    row.nextElementSibling.remove();
  }
  button.setAttribute("aria-expanded", open);
}

// From the timeline to the call's row.
function openCall(entry) {
  toggle(entry, true);
  rove(marks.get(entry), marks.values(), false);
  rove(rows.get(entry), rows.values());
  rows.get(entry).closest("tr").scrollIntoView({ block: "center" });
}

function moveInCalls(event) {
  const button = event.target.closest(".opener");
  if (event.key === "Escape") {
    const row = event.target.closest("tr");
    const own = button ?? row.previousElementSibling?.querySelector(".opener");
    const [entry] = [...rows].find(([, other]) => other === own) ?? [];
    if (!entry) return;
    toggle(entry, false);
    rove(marks.get(entry), marks.values());
    return;
  }
  if (!button) return;
  const buttons = [...rows.values()];
  const at = buttons.indexOf(button);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  if (buttons[next]) rove(buttons[next], buttons);
}
