// How values are written.

const SCOPES = { execution: "exec", program: "prog", session: "sess", global: "glob", default: "dflt" };
const NOT_SAID = "–";

const number = (value) => (value === null || value === undefined ? NOT_SAID : value.toLocaleString("en-US"));

// Prices of a call are far below a cent: two digits that say something, and no exponent.
function dollars(value) {
  if (value === null || value === undefined) return NOT_SAID;
  const amount = Number(value);
  if (amount === 0) return "$0";
  const places = Math.min(12, Math.max(2, 1 - Math.floor(Math.log10(amount))));
  return `$${amount.toFixed(places)}`;
}

function duration(ms) {
  if (ms === null || ms === undefined) return NOT_SAID;
  if (ms >= 60000) return `${(ms / 60000).toFixed(1)} min`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 10 || ms < 0.05 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

const clock = (seconds) => (seconds ? new Date(seconds * 1000).toISOString().replace("T", " ") : NOT_SAID);

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

// All fields on one line, for a row of a table; a single field needs no name.
function oneLine(fields) {
  if (!fields) return "";
  const entries = Object.entries(fields);
  const shown = entries.map(([name, value]) => {
    const words = typeof value === "string" ? value : JSON.stringify(value);
    return entries.length === 1 ? words : `${name}: ${words}`;
  });
  const line = shown.join(" · ").replace(/\s+/g, " ");
  return line.length > 140 ? `${line.slice(0, 140)}…` : line;
}

// DSPex names a worker worker_<number>_<microseconds>. The number says which one it is, unless two workers have it.
function shortened(workers) {
  const short = (worker) => worker.replace(/(\d)_\d{13,}$/, "$1");
  const shared = (name) => workers.filter((worker) => short(worker) === name).length > 1;
  return new Map(workers.map((worker) => [worker, shared(short(worker)) ? worker : short(worker)]));
}

// A worker and a session, one per line; where nobody names a worker there is only one.
function laneLines(lane) {
  const { worker, session } = data.lanes[lane];
  const who = session === null ? "no session" : `session ${session}`;
  return worker === null ? [who] : [workerNames.get(worker), who];
}

const laneName = (lane) => laneLines(lane).join(" · ");

const tokens = (call) => {
  const { input_tokens: asked = null, output_tokens: answered = null } = call.usage || {};
  return asked === null && answered === null ? NOT_SAID : `${number(asked)} → ${number(answered)}`;
};
