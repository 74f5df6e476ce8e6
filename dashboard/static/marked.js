// What is marked on every time chart of a frame: cold starts, events, what a run was to keep to.

const UNMARKED = new Set(["container_starting", "container_process_started", "container_exited", "session_refused"]);
const MOST_EVENTS = 60;
const MOST_SPANS = 100;

/** Times in which somebody met a 503, by region. */
export function coldSpans(frame) {
  const spans = [];
  const last = new Map();
  const lines = frame.lines("responses_503");
  for (let at = 0; at < frame.steps; at += 1) {
    const from = frame.start + at * frame.step;
    for (const { labels: { region }, values } of lines) {
      if (!(values[at] > 0)) continue;
      const open = last.get(region);
      if (open && open.to >= from) open.to = from + frame.step;
      else {
        last.set(region, { region, from, to: from + frame.step });
        spans.push(last.get(region));
      }
    }
  }
  return spans.slice(-MOST_SPANS);
}

/** Every step of every container, or every session, would hide the charts; those are in the list of events. */
export function markedEvents(events, frame) {
  return events.filter(({ at, kind }) => at >= frame.start && at < frame.end && !UNMARKED.has(kind)).slice(-MOST_EVENTS);
}

/** What runs were to keep to, while they lasted. */
export function objectivesOf(runs, frame) {
  return runs.flatMap(({ start, end, objectives }) => objectives.map((one) => ({ ...one, from: start, to: end ?? frame.end })));
}
