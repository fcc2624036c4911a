// The form for a new weather alert rule.
import { post } from "./api.js";
import { byId, h, renderButtonGroup, setText } from "./dom.js";
import { showToast } from "./shell.js";
import { VARIABLE_LABELS, VARIABLES } from "./units.js";

/** Units that the API knows, the unit of the records first. */
const UNITS = {
  temperature: ["°C", "°F", "K"],
  humidity: ["%"],
  pressure: ["hPa", "kPa", "inHg", "mmHg"],
  wind_speed: ["m/s", "km/h", "mph", "kt"],
};
const FORECAST = { kind: "forecast", first_lead: 1, last_lead: 24, probability: 50, end_probability: 30 };
const PRESETS = {
  Frost: { ...FORECAST, variable: "temperature", condition: "below", threshold: 0, unit: "°C" },
  Heat: { ...FORECAST, variable: "temperature", condition: "above", threshold: 30, unit: "°C" },
  Gale: { ...FORECAST, variable: "wind_speed", condition: "above", threshold: 17.2, unit: "m/s" },
  "Pressure fall": { ...FORECAST, variable: "pressure", condition: "fall", threshold: 3.6, unit: "hPa", last_lead: 3 },
  Fault: { kind: "fault", min_readings: 2, min_score: 0.5 },
};
const form = byId("rule");
const field = (name) => form.elements.namedItem(name);

/** Prepare the form. onAdded(): called after a rule was added; tryRule(rule): async, shows the back-test of a rule. */
export function initRuleForm(onAdded, tryRule) {
  field("variable").replaceChildren(...VARIABLES.map((name) => h("option", { value: name }, VARIABLE_LABELS[name])));
  field("time_zone").value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  renderButtonGroup(byId("presets"), Object.keys(PRESETS).map((name) => [name, name]), "Frost", applyPreset);
  form.addEventListener("change", showFields);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const added = await send(() => post("/weather-alerts/rules", ruleOfForm()));
    if (!added) return;
    showToast("Rule added", added.rule.name, { kind: "rule" });
    onAdded();
  });
  byId("try-rule").addEventListener("click", () => {
    if (form.reportValidity()) send(() => tryRule(ruleOfForm()));
  });
  applyPreset("Frost");
}

/** Show the stations to select from; the selection is kept. */
export function showStations(stations) {
  const select = field("stations");
  const content = JSON.stringify(stations.map((station) => station.station_id));
  if (select.content === content) return;
  select.content = content;
  const selected = new Set([...select.selectedOptions].map((option) => option.value));
  select.replaceChildren(
    ...stations.map(({ station_id: id, name }) => h("option", { value: id, selected: selected.has(id) }, name)),
  );
}

function applyPreset(name) {
  const { unit, ...values } = PRESETS[name];
  field("name").value = name;
  for (const [key, value] of Object.entries(values)) field(key).value = value;
  showFields();
  if (unit) field("unit").value = unit;
}

/** Show only the fields of the selected kind, and the units of the selected variable; hidden fields are not required. */
function showFields() {
  for (const name of ["kind", "scope"])
    for (const element of form.querySelectorAll(`[data-${name}]`)) {
      element.hidden = element.dataset[name] !== field(name).value;
      for (const input of element.querySelectorAll("input, select")) input.disabled = element.hidden;
    }
  const units = UNITS[field("variable").value];
  const select = field("unit");
  if (![...select.options].every((option) => units.includes(option.value)) || !select.options.length)
    select.replaceChildren(...units.map((unit) => h("option", { value: unit }, unit)));
}

function ruleOfForm() {
  const text = (name) => field(name).value;
  const numberOf = (name) => Number(text(name));
  const hasQuietHours = text("start") || text("end");
  const common = {
    kind: text("kind"),
    name: text("name"),
    stations: text("scope") === "all" ? null : [...field("stations").selectedOptions].map((option) => option.value),
    quiet_hours: hasQuietHours ? { start: text("start"), end: text("end"), time_zone: text("time_zone") } : null,
  };
  if (common.kind === "fault")
    return { ...common, min_readings: numberOf("min_readings"), min_score: numberOf("min_score") };
  return {
    ...common,
    variable: text("variable"),
    condition: text("condition"),
    threshold: numberOf("threshold"),
    unit: text("unit"),
    first_lead: numberOf("first_lead"),
    last_lead: numberOf("last_lead"),
    probability: numberOf("probability") / 100,
    end_probability: numberOf("end_probability") / 100,
  };
}

/** The result of a request, or null after its problem was shown below the form. */
async function send(request) {
  const problem = byId("rule-problem");
  problem.hidden = true;
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  try {
    return await request();
  } catch (error) {
    setText(problem, error.message);
    problem.hidden = false;
    return null;
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}
