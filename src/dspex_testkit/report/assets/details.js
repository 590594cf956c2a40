// What is known of one call, or of one change of who answers.

function callDetails(call) {
  const usage = call.usage || {};
  const cost = call.mocked === false ? "Cost" : "Cost avoided";
  const facts = [
    ["LM", `${data.lms[call.lm_index].name} (${call.mocked === false ? "real provider" : "mock"}, ${call.engine})`],
    ["Decided by", call.scope ? `scope ${call.scope}` : null],
    ["Switched from", call.switched_from === null ? null : data.lms[call.switched_from].name],
    ["Rule", call.rule],
    ["Fault", call.fault],
    ["Test", call.test],
    ["Program", call.program_id],
    ["Session", call.session_id],
    ["Worker", call.worker_id],
    ["Signature", call.signature],
    ["Tokens", tokens(call)],
    ["of them reasoning", usage.reasoning_tokens],
    ["of them from the provider's cache", usage.cached_tokens],
    ["of them written to that cache", usage.cache_write_tokens],
    [cost, call.cost === null || call.cost === undefined ? null : `$${call.cost}`],
    ["Answered in", duration(call.latency_ms)],
    ["Ended", clock(call.time)],
    ["Finish reason", call.finish_reason],
    ["Chunks", call.stream_chunks],
    ["Seed", call.seed],
    ["Response cache", call.cache_hit ? "remembered; nobody was asked" : null],
    ["Assignment", call.lm_id],
    ["Part of", call.parent_id],
    ["Call id", call.call_id],
    ["Journal number", call.seq || null],
  ];
  return el(
    "div",
    { class: "details" },
    failed(call) ? block("Error", call.error, "error") : null,
    factList(facts),
    el("div", { class: "texts" }, fields("Inputs", call.inputs), fields("Outputs", call.outputs)),
    call.completion ? block("Completion, as the adapter reads it", call.completion) : null,
    call.details ? block("Details", text(call.details)) : null,
  );
}

function changeDetails(change) {
  const facts = [
    ["Kind", change.kind],
    ["Scope", change.scope],
    ["Name", change.name],
    ["Session", change.session_id],
    ["Worker", change.worker_id],
    ["Test", change.test],
    ["Time", clock(change.time)],
    ["Journal number", change.seq || null],
  ];
  const now = change.lm ? block("Now", text(change.lm)) : null;
  const before = change.replaced ? block("Before", text(change.replaced)) : null;
  return el("div", { class: "details" }, factList(facts), el("div", { class: "texts" }, now, before));
}

function factList(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== NOT_SAID);
  return el(
    "dl",
    { class: "facts" },
    ...known.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))),
  );
}

function fields(title, values) {
  const entries = Object.entries(values || {});
  if (entries.length === 0) return null;
  return el("section", {}, el("h3", {}, title), ...entries.map(([name, value]) => block(name, text(value))));
}

function block(name, content, kind = "") {
  return el(
    "figure",
    { class: kind },
    el("figcaption", {}, name),
    el("pre", { tabindex: 0, "aria-label": name }, content),
  );
}
