// Chart of a station: observations, forecast with intervals, an earlier forecast, raw guidance, anomalies and wind direction.
import { axis, layout, palette, plot, timeAxis, withAlpha } from "./charts.js";
import { h } from "./dom.js";
import { guidanceLabel } from "./guidance_label.js";
import {
  compassPoint,
  displayUnit,
  displayZone,
  formatDateTime,
  toDisplayUnit,
  toPlotTime,
  VARIABLE_LABELS,
  VARIABLES,
} from "./units.js";

// Vertical extent of the panels: the four variables, then the wind direction.
const PANELS = [
  [0.79, 1],
  [0.58, 0.76],
  [0.37, 0.55],
  [0.14, 0.34],
  [0, 0.1],
];
const HEIGHT = 780;
const WIND_ARROW_SPACING = 18;

/**
 * data: {station, observations, leads, earlierForecast, rawGuidance, flaggedTimes, intervalLevel, viewKey}. The user's
 * zoom is kept while viewKey is unchanged.
 */
export function renderStationChart(box, legend, data) {
  const { station, observations, leads } = data;
  const { line } = palette();
  const observedTimes = observations.map((observation) => toPlotTime(observation.timestamp, station.timezone));
  const axes = Object.fromEntries(
    VARIABLES.map((_, index) => [
      index ? `yaxis${index + 1}` : "yaxis",
      axis({ domain: PANELS[index], nticks: 5, zeroline: false }),
    ]),
  );
  const forecastStart =
    leads.length && observations.length
      ? [
          {
            type: "line",
            x0: observedTimes.at(-1),
            x1: observedTimes.at(-1),
            y0: 0,
            y1: 1,
            yref: "paper",
            line: { color: line, width: 2 },
          },
        ]
      : [];
  plot(
    box,
    [...VARIABLES.flatMap((name, index) => variableTraces(name, index, observedTimes, data)), windTrace(box, data)],
    layout({
      ...axes,
      yaxis5: axis({ domain: PANELS[4], visible: false, range: [-1, 1], fixedrange: true }),
      xaxis: timeAxis(box, { anchor: "y5" }),
      annotations: [
        ...VARIABLES.map((name, index) => panelTitle(`${VARIABLE_LABELS[name]}, ${displayUnit(name).unit}`, index)),
        panelTitle("Wind direction (arrows point downwind)", 4),
      ],
      shapes: forecastStart,
      margin: { l: 52, r: 18, t: 24, b: 44 },
      height: HEIGHT,
      uirevision: `${data.viewKey} ${displayZone(station.timezone)}`,
    }),
    `${station.station_id} observations and forecast`,
    "No observations in this period. New ones appear as soon as the station reports.",
  );
  renderLegend(legend, data);
}

function panelTitle(text, panel) {
  return {
    text,
    xref: "paper",
    yref: "paper",
    x: 0,
    y: PANELS[panel][1],
    xanchor: "left",
    yanchor: "bottom",
    showarrow: false,
    font: { size: 12.5, color: palette().mutedText },
  };
}

function variableTraces(name, index, observedTimes, data) {
  const { station, observations, leads, earlierForecast, rawGuidance, flaggedTimes } = data;
  const { series1, series2, bad, neutral } = palette();
  const { unit, digits } = displayUnit(name);
  const common = {
    yaxis: index ? `y${index + 1}` : "y",
    hovertemplate: `%{y:.${digits}f} ${unit}`,
    showlegend: false,
  };
  const label = VARIABLE_LABELS[name];
  const flagged = observations.filter(
    (observation) => flaggedTimes.has(observation.timestamp) && observation[name] !== null,
  );
  return [
    ...forecastTraces(
      earlierForecast,
      name,
      neutral,
      { ...common, name: `${label}, forecast of the day before` },
      station,
    ),
    ...rawGuidance.map((run) => guidanceTrace(run, name, { ...common, name: `${label}, ${guidanceLabel(run)}` }, station)),
    ...forecastTraces(leads, name, series2, { ...common, name: `${label}, forecast` }, station),
    {
      ...common,
      x: observedTimes,
      y: observations.map((observation) => toDisplayUnit(name, observation[name])),
      mode: "lines",
      line: { color: series1, width: 2 },
      name: `${label}, observed`,
    },
    {
      ...common,
      x: flagged.map((observation) => toPlotTime(observation.timestamp, station.timezone)),
      y: flagged.map((observation) => toDisplayUnit(name, observation[name])),
      mode: "markers",
      marker: { color: "rgba(0,0,0,0)", size: 10, line: { color: bad, width: 2 } },
      name: "anomaly",
      hovertemplate: "anomaly",
    },
  ];
}

/** Upper and lower bound, filled between, and the forecast value. */
function forecastTraces(leads, name, color, common, station) {
  if (!leads.length) return [];
  const x = leads.map((lead) => toPlotTime(lead.valid_time, station.timezone));
  const y = (field) => leads.map((lead) => toDisplayUnit(name, lead[name][field]));
  const bound = { ...common, x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", hovertemplate: undefined };
  return [
    { ...bound, y: y("upper") },
    { ...bound, y: y("lower"), fill: "tonexty", fillcolor: withAlpha(color, 0.2) },
    { ...common, x, y: y("value"), mode: "lines", line: { color, width: 2, dash: "5px 3px" } },
  ];
}

function guidanceTrace({ hours }, name, common, station) {
  return {
    ...common,
    x: hours.map((hour) => toPlotTime(hour.valid_time, station.timezone)),
    y: hours.map((hour) => toDisplayUnit(name, hour[name])),
    mode: "lines",
    line: { color: palette().series3, width: 2, dash: "2px 3px" },
  };
}

function windTrace(box, { station, observations }) {
  const step = Math.max(1, Math.ceil(observations.length / (box.clientWidth / WIND_ARROW_SPACING)));
  const winds = observations.filter((observation, index) => index % step === 0 && observation.wind_direction !== null);
  return {
    x: winds.map((observation) => toPlotTime(observation.timestamp, station.timezone)),
    y: winds.map(() => 0),
    yaxis: "y5",
    mode: "markers",
    name: "Wind direction",
    customdata: winds.map(
      ({ wind_direction: direction }) => `from ${compassPoint(direction)} (${Math.round(direction)}°)`,
    ),
    hovertemplate: "%{customdata}",
    marker: {
      symbol: "arrow",
      size: 11,
      color: palette().mutedText,
      angle: winds.map((observation) => (observation.wind_direction + 180) % 360),
    },
    showlegend: false,
  };
}

function renderLegend(legend, { station, leads, earlierForecast, rawGuidance, intervalLevel }) {
  const { series1, series2, series3, bad, neutral } = palette();
  const item = (className, color, text) => {
    const symbol = h("i", { class: className });
    if (className === "band") symbol.style.background = color;
    else if (className !== "circle") symbol.style.borderColor = color;
    return h("span", {}, symbol, text);
  };
  const level = Math.round(intervalLevel * 100);
  legend.replaceChildren(
    item("", series1, "observed"),
    ...(leads.length ? [item("dash", series2, "forecast"), item("band", series2, `${level} % interval`)] : []),
    ...(earlierForecast.length
      ? [item("dash", neutral, `forecast of ${formatDateTime(earlierForecast[0].timestamp, station.timezone)}`)]
      : []),
    ...[...new Set(rawGuidance.map(guidanceLabel))].map((label) => item("dotted", series3, `${label}, uncorrected`)),
    item("circle", bad, "anomaly"),
  );
}
