// The controls above: what is shown.

const ANY = "any";

function drawFilters() {
  const controls = [];
  for (const [field, { label, of }] of Object.entries(FIELDS)) {
    const values = [...new Set(data.entries.map((entry) => of(entry) ?? null))];
    if (values.length < 2) continue;
    const options = values.map((value, index) => el("option", { value: index }, value ?? "(none)"));
    const choose = (event) => {
      if (event.target.value === ANY) delete state.wanted[field];
      else state.wanted[field] = values[Number(event.target.value)];
      refilter();
    };
    const select = el(
      "select",
      { id: `filter-${field}`, onchange: choose },
      el("option", { value: ANY }, "all"),
      ...options,
    );
    controls.push(el("label", {}, label, select));
  }
  controls.push(
    checkbox("filter-errors", "Errors only", "errorsOnly"),
    checkbox("filter-switches", "Switches only", "switchesOnly"),
    el("label", {}, "Text", el("input", { type: "search", id: "filter-text", size: 14, oninput: search })),
    el("button", { type: "button", id: "reset", onclick: reset }, "Reset"),
  );
  $("filters").replaceChildren(...controls);
}

function checkbox(id, label, key) {
  const change = (event) => {
    state[key] = event.target.checked;
    refilter();
  };
  return el("label", { class: "check" }, el("input", { type: "checkbox", id, onchange: change }), label);
}

let typing;

function search(event) {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.text = event.target.value.trim().toLowerCase();
    refilter();
  }, 120);
}

function reset() {
  clearTimeout(typing);
  Object.assign(state, { wanted: {}, text: "", errorsOnly: false, switchesOnly: false });
  for (const control of $("filters").querySelectorAll("select")) control.value = ANY;
  for (const control of $("filters").querySelectorAll("[type=checkbox]")) control.checked = false;
  $("filter-text").value = "";
  refilter();
}

function refilter() {
  state.page = 0;
  narrow();
  draw();
}
