// The swim lanes: a column per entry in order, a row per worker and session.

const COLUMN = 32;
let marks = new Map();

function drawTimeline() {
  const entries = pageEntries();
  marks = new Map();
  if (entries.length === 0) {
    $("timeline").replaceChildren(el("p", { class: "empty" }, "Nothing to show."));
    return;
  }
  const rows = [];
  const changes = entries.filter((entry) => !isCall(entry));
  if (changes.length) rows.push(laneRow(["LM changes"], entries, changes));
  const lanes = [...new Set(entries.filter(isCall).map((call) => call.lane))];
  for (const lane of lanes.sort((a, b) => laneName(a).localeCompare(laneName(b), "en", { numeric: true }))) {
    rows.push(
      laneRow(
        laneLines(lane),
        entries,
        entries.filter((entry) => entry.lane === lane),
      ),
    );
  }
  const grid = el("div", {
    role: "grid",
    class: "lanes",
    "aria-labelledby": "timeline-title",
    "aria-describedby": "timeline-hint",
    onkeydown: moveOnTimeline,
  });
  grid.append(axis(entries), ...rows);
  $("timeline").replaceChildren(grid);
  const first = grid.querySelector(".mark");
  if (first) first.tabIndex = 0;
}

function laneRow(lines, entries, own) {
  const track = el("div", { class: "track", role: "presentation" });
  track.style.width = `${entries.length * COLUMN}px`;
  const column = new Map(entries.map((entry, index) => [entry, index]));
  for (const entry of own) {
    const mark = isCall(entry) ? callMark(entry) : changeMark(entry);
    mark.style.left = `${column.get(entry) * COLUMN}px`;
    mark.setAttribute("aria-colindex", column.get(entry) + 2);
    marks.set(entry, mark);
    track.append(mark);
  }
  for (const [index, entry] of entries.entries()) {
    if (index && entry.test !== entries[index - 1].test) track.append(border(index));
  }
  return el(
    "div",
    { role: "row", class: "lane" },
    el(
      "div",
      { role: "rowheader", class: "name", title: lines.join(" · ") },
      ...lines.map((line) => el("div", {}, line)),
    ),
    track,
  );
}

function callMark(call) {
  const switched = call.switched_from !== null;
  const kinds = [lmClass(call.lm_index), switched && "switched", failed(call) && "failed", call.parent_id && "part"];
  const box = el(
    "span",
    { class: `box ${kinds.filter(Boolean).join(" ")}`, "aria-hidden": "true" },
    data.lms[call.lm_index].letter,
  );
  const flag =
    switched && call.scope
      ? el("span", { class: "flag", "aria-hidden": "true" }, SCOPES[call.scope] ?? call.scope)
      : null;
  const label = callLabel(call);
  return el(
    "div",
    { role: "gridcell", class: "mark", tabindex: -1, title: label, "aria-label": label, onclick: () => openCall(call) },
    flag,
    box,
  );
}

function callLabel(call) {
  const parts = [`Call ${call.number}: ${data.lms[call.lm_index].name}`];
  if (call.scope) parts.push(`decided by scope ${call.scope}`);
  if (call.switched_from !== null) parts.push(`switched from ${data.lms[call.switched_from].name}`);
  if (call.fault) parts.push(`fault ${call.fault}`);
  if (failed(call)) parts.push("failed");
  return parts.join(", ");
}

function changeMark(change) {
  const label = changeLabel(change);
  const scope = change.scope ? (SCOPES[change.scope] ?? change.scope) : "name";
  const letter = change.lm_index === null ? "·" : data.lms[change.lm_index].letter;
  const box = el("span", { class: "box change", "aria-hidden": "true" }, letter);
  const flag = el("span", { class: "flag", "aria-hidden": "true" }, scope);
  return el(
    "div",
    {
      role: "gridcell",
      class: "mark",
      tabindex: -1,
      title: label,
      "aria-label": label,
      onclick: () => openCall(change),
    },
    flag,
    box,
  );
}

function changeLabel(change) {
  const what = change.name ? `LM named ${change.name}` : `scope ${change.scope}`;
  const whose = change.session_id ? ` (${change.session_id})` : "";
  return `Change: ${what}${whose} ${change.kind}, ${change.lm_name ?? "no LM"}`;
}

// Above the lanes: the tests, and the time since the first entry of the page.
function axis(entries) {
  const track = el("div", { class: "track" });
  track.style.width = `${entries.length * COLUMN}px`;
  const start = entries.find((entry) => entry.time)?.time;
  for (let index = 0; index < entries.length; index += 5) {
    const elapsed = start && entries[index].time ? (entries[index].time - start) * 1000 : null;
    if (elapsed === null || elapsed < 0) continue;
    const tick = el("span", { class: "tick" }, `+${duration(elapsed)}`);
    tick.style.left = `${index * COLUMN}px`;
    track.append(tick);
  }
  for (let begin = 0; begin < entries.length;) {
    const test = entries[begin].test;
    let end = begin;
    while (end < entries.length && entries[end].test === test) end += 1;
    if (test) {
      const name = el("span", { class: "test", title: test }, test.split("::").pop());
      name.style.left = `${begin * COLUMN}px`;
      name.style.width = `${(end - begin) * COLUMN - 4}px`;
      track.append(name);
    }
    if (begin) track.append(border(begin));
    begin = end;
  }
  const tested = entries.some((entry) => entry.test);
  return el(
    "div",
    { class: `axis ${tested ? "with-tests" : ""}`, "aria-hidden": "true" },
    el("div", { class: "name" }),
    track,
  );
}

function border(index) {
  const line = el("span", { class: "border", "aria-hidden": "true" });
  line.style.left = `${index * COLUMN - 2}px`;
  return line;
}

function moveOnTimeline(event) {
  const mark = event.target.closest(".mark");
  if (!mark) return;
  const lanes = [...event.currentTarget.querySelectorAll(".lane")].map((lane) => [...lane.querySelectorAll(".mark")]);
  const row = lanes.findIndex((lane) => lane.includes(mark));
  const at = lanes[row].indexOf(mark);
  const nearest = (lane) =>
    lane.reduce((best, other) =>
      Math.abs(other.offsetLeft - mark.offsetLeft) < Math.abs(best.offsetLeft - mark.offsetLeft) ? other : best,
    );
  const steps = {
    ArrowLeft: () => lanes[row][at - 1],
    ArrowRight: () => lanes[row][at + 1],
    ArrowUp: () => lanes[row - 1] && nearest(lanes[row - 1]),
    ArrowDown: () => lanes[row + 1] && nearest(lanes[row + 1]),
    Home: () => lanes[row][0],
    End: () => lanes[row].at(-1),
  };
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    mark.click();
  } else if (Object.hasOwn(steps, event.key)) {
    event.preventDefault();
    const next = steps[event.key]();
    if (next) rove(next, marks.values());
  }
}
