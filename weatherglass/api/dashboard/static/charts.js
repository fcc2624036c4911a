// Plotly, dressed as the rest of the page.
import { csv, download } from "./dom.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The page's colours as they are now, light or dark. */
export function palette() {
  const names = {
    ink: "--ink",
    soft: "--soft",
    line: "--line",
    card: "--card",
    accent: "--accent",
    bad: "--bad",
    warn: "--warn",
    ok: "--ok",
    quiet: "--quiet",
    one: "--series-1",
    two: "--series-2",
    three: "--series-3",
    four: "--series-4",
  };
  return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, style(name)]));
}

export const faded = (hex, share) =>
  hex +
  Math.round(share * 255)
    .toString(16)
    .padStart(2, "0");

export function axis(more = {}) {
  const { line, soft } = palette();
  return {
    gridcolor: line,
    linecolor: line,
    zerolinecolor: line,
    tickfont: { color: soft, size: 12 },
    automargin: true,
    ...more,
  };
}

export function layout(more = {}) {
  const { ink, soft, card, line } = palette();
  return {
    paper_bgcolor: card,
    plot_bgcolor: card,
    margin: { l: 52, r: 18, t: 8, b: 34 },
    hovermode: "x unified",
    font: { family: style("--sans"), size: 13, color: ink },
    hoverlabel: { bgcolor: card, bordercolor: line, font: { color: ink } },
    legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom", font: { color: soft } },
    uirevision: "same",
    xaxis: axis(),
    yaxis: axis(),
    ...more,
  };
}

/** An axis of times; more than half a day of them has the day below the hour. */
export function timeAxis(box, more = {}) {
  return axis({
    type: "date",
    nticks: Math.max(4, Math.round(box.clientWidth / 110)),
    hoverformat: "%a %-d %b, %H:%M",
    tickformatstops: [
      { dtickrange: [null, 86399999], value: "%H:%M\n%a %-d %b" },
      { dtickrange: [86400000, null], value: "%a\n%-d %b" },
    ],
    ...more,
  });
}

const SETTINGS = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  toImageButtonOptions: { format: "png", scale: 2 },
};

/** Draw, or redraw in place: what the reader has zoomed to stays. Says so where there is nothing to draw. */
export async function plot(box, traces, shape, name, nothing) {
  if (!traces.some((trace) => trace.x?.length)) {
    if (box.plotted) Plotly.purge(box);
    box.plotted = false;
    box.replaceChildren(Object.assign(document.createElement("p"), { className: "nothing", textContent: nothing }));
    return;
  }
  const content = JSON.stringify([traces, shape]);
  if (box.plotted && box.content === content) return;
  if (!box.plotted) box.replaceChildren();
  await Plotly.react(box, traces, shape, {
    ...SETTINGS,
    toImageButtonOptions: { ...SETTINGS.toImageButtonOptions, filename: name },
  });
  box.plotted = true;
  box.content = content;
}

export const savePng = (box, name) =>
  Plotly.downloadImage(box, {
    format: "png",
    scale: 2,
    filename: name,
    width: box.clientWidth,
    height: box.clientHeight,
  });

/** Write rows of objects with these columns into a file. */
export function saveCsv(name, columns, rows) {
  download(
    `${name}.csv`,
    csv(
      columns,
      rows.map((row) => columns.map((column) => row[column])),
    ),
  );
}
