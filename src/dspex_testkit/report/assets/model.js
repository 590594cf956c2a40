// The data of the page and what is shown of it.

const data = JSON.parse($("data").textContent);
const PAGE_SIZE = 200;

const isCall = (entry) => entry.number !== undefined;
const failed = (call) => call.error !== null && call.error !== undefined;
const allCalls = data.entries.filter(isCall);

const workerNames = shortened([...new Set(data.entries.map((entry) => entry.worker_id).filter(Boolean))]);

// What an entry can be narrowed by. A change belongs to no program; its worker and session are its own.
const FIELDS = {
  lm: { label: "LM", of: (entry) => (isCall(entry) ? data.lms[entry.lm_index].name : entry.lm_name) },
  scope: { label: "Scope", of: (entry) => entry.scope },
  session: { label: "Session", of: (entry) => entry.session_id },
  worker: { label: "Worker", of: (entry) => entry.worker_id },
  program: { label: "Program", of: (entry) => entry.program_id },
  test: { label: "Test", of: (entry) => entry.test },
};

const state = { wanted: {}, text: "", errorsOnly: false, switchesOnly: false, page: 0, shown: [], calls: [] };

const haystacks = new WeakMap();

function haystack(entry) {
  if (!haystacks.has(entry)) haystacks.set(entry, `${FIELDS.lm.of(entry)} ${JSON.stringify(entry)}`.toLowerCase());
  return haystacks.get(entry);
}

function matches(entry) {
  if (state.errorsOnly && !(isCall(entry) && failed(entry))) return false;
  if (state.switchesOnly && !(isCall(entry) && entry.switched_from !== null)) return false;
  for (const [field, value] of Object.entries(state.wanted)) {
    if ((FIELDS[field].of(entry) ?? null) !== value) return false;
  }
  return state.text === "" || haystack(entry).includes(state.text);
}

function narrow() {
  state.shown = data.entries.filter(matches);
  state.calls = state.shown.filter(isCall);
  state.page = Math.min(state.page, pageCount() - 1);
}

const pageCount = () => Math.max(1, Math.ceil(state.shown.length / PAGE_SIZE));
const pageEntries = () => state.shown.slice(state.page * PAGE_SIZE, (state.page + 1) * PAGE_SIZE);

// An ensemble's own call repeats what its members used, and what came from a cache was asked of nobody.
const charged = (call) => call.engine !== "ensemble" && !call.cache_hit;

function sums(calls) {
  const sum = { calls: calls.length, errors: 0, switches: 0, input: null, output: null, spent: null, avoided: null };
  const add = (key, value) => {
    if (value !== null && value !== undefined) sum[key] = (sum[key] ?? 0) + Number(value);
  };
  for (const call of calls) {
    if (failed(call)) sum.errors += 1;
    if (call.switched_from !== null) sum.switches += 1;
    if (!charged(call)) continue;
    add("input", call.usage?.input_tokens);
    add("output", call.usage?.output_tokens);
    add(call.mocked === false ? "spent" : "avoided", call.cost);
  }
  return sum;
}
