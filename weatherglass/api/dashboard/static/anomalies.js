// Flagged readings: a list that renews itself, filters, and counts.
import { address, get } from "./api.js";
import { axis, layout, palette, plot } from "./charts.js";
import { by, h, keyed, say } from "./dom.js";
import { flagItem } from "./flags.js";
import { preference, view, viewed } from "./preferences.js";
import { showOrigin, start } from "./shell.js";
import { checkName } from "./units.js";

const PAGE = 50;
const FILTERS = ["station", "kind", "verdict", "min_score", "days"];
const form = by("filters");
let pages = 1;
let drawn = false;

function filter() {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value]));
  const since = new Date(Date.now() - Number(asked.days) * 86400e3);
  since.setUTCSeconds(0, 0);
  return {
    station_id: asked.station,
    kind: asked.kind,
    verdict: asked.verdict,
    min_score: asked.min_score,
    since: since.toISOString(),
  };
}

for (const name of FILTERS) {
  const value = viewed(name);
  if (value === null) continue;
  if (
    form.elements[name].tagName === "SELECT" &&
    ![...form.elements[name].options].some((option) => option.value === value)
  )
    form.elements[name].append(h("option", { value }, value));
  form.elements[name].value = value;
}
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  view(
    Object.fromEntries(
      FILTERS.map((name) => [
        name,
        form.elements[name].value === (name === "days" ? "7" : "") ? null : form.elements[name].value,
      ]),
    ),
  );
  pages = 1;
  drawn = false;
  soon();
});
by("more").addEventListener("click", () => {
  pages += 1;
  soon();
});
by("csv").addEventListener("click", async () => {
  const answer = await fetch(address("/anomalies", { ...filter(), limit: 500 }), { headers: { Accept: "text/csv" } });
  const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: "suspect readings.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

async function list() {
  const found = [];
  let cursor = null;
  for (let page = 0; page < pages; page++) {
    const answer = await get("/anomalies", { ...filter(), limit: PAGE, cursor });
    found.push(...answer.anomalies);
    cursor = answer.next_cursor;
    if (cursor === null) break;
  }
  by("more").hidden = cursor === null;
  return found;
}

function options(select, values) {
  const kept = select.value;
  const content = JSON.stringify(values);
  if (select.content === content) return;
  select.content = content;
  const others = values.some(([value]) => value === kept) || !kept ? [] : [[kept, kept]];
  select.replaceChildren(
    h("option", { value: "" }, "all"),
    ...[...values, ...others].map(([value, label]) => h("option", { value }, label)),
  );
  select.value = kept;
}

async function draw() {
  const [flags, counts, stations] = await Promise.all([
    list(),
    get("/anomalies/counts", { since: filter().since, station_id: filter().station_id }),
    get("/stations"),
  ]);
  const named = new Map(stations.stations.map((row) => [row.station.station_id, row.station]));
  showOrigin(stations.stations.map((row) => row.source));
  options(
    form.elements.station,
    stations.stations.map((row) => [row.station.station_id, row.station.name]),
  );
  const kinds = [...new Set(counts.counts.map((count) => count.kind))].sort();
  options(
    form.elements.kind,
    kinds.map((kind) => [kind, checkName(kind)]),
  );
  say(by("summary"), `${counts.total} in ${form.elements.days.value} days, ${counts.open} not yet decided`);
  charts(counts.counts, kinds, named);
  if (flags.length)
    keyed(
      by("list"),
      flags.map((flag) => ({ flag, times: preference("time") })),
      ({ flag }) => flag.id,
      ({ flag }, fresh) => flagItem(flag, named.get(flag.station_id), { fresh: fresh && drawn, judged: soon }),
    );
  else by("list").replaceChildren(h("li", { class: "nothing" }, "No reading fits these filters."));
  drawn = true;
}

function charts(counts, kinds, named) {
  const { one, two, three, four, bad, quiet } = palette();
  const colours = [one, two, three, four, bad, quiet];
  const days = [...new Set(counts.map((count) => count.day))].sort();
  const total = (of) => counts.filter(of).reduce((sum, count) => sum + count.count, 0);
  plot(
    by("kinds"),
    kinds.map((kind, index) => ({
      type: "bar",
      name: checkName(kind),
      x: days,
      y: days.map((day) => total((count) => count.kind === kind && count.day === day)),
      marker: { color: colours[index % colours.length] },
    })),
    layout({
      barmode: "stack",
      height: 280,
      xaxis: axis({ type: "category" }),
      yaxis: axis({ rangemode: "tozero" }),
      margin: { l: 44, r: 16, t: 30, b: 34 },
      showlegend: true,
    }),
    "suspect readings by check",
    "Nothing flagged in this time.",
  );
  const places = [...new Set(counts.map((count) => count.station_id))]
    .map((id) => [named.get(id)?.name ?? id, total((count) => count.station_id === id)])
    .sort((a, b) => a[1] - b[1])
    .slice(-12);
  plot(
    by("where"),
    [
      {
        type: "bar",
        orientation: "h",
        y: places.map(([name]) => name),
        x: places.map(([, count]) => count),
        marker: { color: one },
        hovertemplate: "%{x}<extra></extra>",
      },
    ],
    layout({
      height: 280,
      hovermode: "closest",
      yaxis: axis({ type: "category" }),
      xaxis: axis({ rangemode: "tozero" }),
    }),
    "suspect readings by station",
    "Nothing flagged in this time.",
  );
}

const soon = start(draw);
