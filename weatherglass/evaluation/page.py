"""The page `docs/evaluation.md`, from the figures of one or several data sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from weatherglass.evaluation.held_out import BASELINES
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.recalibration import DAYS
from weatherglass.records import LEADS, UNITS, VARIABLES
from weatherglass.verification.held_out_scores import SKILL_LEADS

PAGE = "evaluation.md"
FOLDER = "evaluation"
"""Under the folder of the page: the figures and plots of each data set."""
SHOWN_LEADS = (1, 3, 6, 12, 18, 24)
BEST = "the best of persistence, seasonal naive, climatology and damped anomaly"
HEAD = f"""# How good the forecasts are

*Made by `weatherglass evaluate`; `make evaluate` makes it anew. The numbers of each table lie beside the plots in
[`{FOLDER}/`]({FOLDER}) as JSON.*

Every number is of hours that nothing was learnt from: the model, its choices and its intervals know the history alone,
the test comes after it, and the first base hour tested lies at least the longest lag ({PAST_HOURS} h) behind its end.
Truth is what the station reported, faults included, except values outside the physical range. The model and all
baselines are compared on the same cases. **Skill** is 1 - MAE / MAE of the baseline, mean over leads {SKILL_LEADS[0]},
{SKILL_LEADS[1]}, …, {SKILL_LEADS[-1]} h; in brackets its 95 % confidence interval by a bootstrap over blocks of five
days.

The baselines: *persistence* (it stays as it is), *seasonal naive* (as a day before), *climatology* (harmonics of the
year and the day for each station), *damped anomaly* (climatology and what remains of the present anomaly, the one to
beat), and where shown *harmonic ARMA* (climatology and an ARMA(2, 1) of the anomalies, fitted with statsmodels on the
last 180 days of history of some stations, compared on these).
"""


def write(folder: Path) -> Path:
    """Write the page into `folder` from every `evaluation/*.json` in it."""
    parts = [HEAD]
    for path in sorted((folder / FOLDER).glob("*.json")):
        parts.append(section(path.stem, json.loads(path.read_text(encoding="utf-8"))))
    page = folder / PAGE
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def section(name: str, figures: dict[str, Any]) -> str:
    """What one data set shows."""
    about = figures["about"]
    lines = [
        f"## {about['title']}",
        "",
        f"History {about['history_first']} to {about['history_last']} ({about['stations']} stations), tested on "
        f"{figures['first']} to {figures['last']}: {figures['cases']:,} forecasts of 24 h. {about['how']}",
        "",
        "### Skill",
        "",
        *_skill(figures),
        "",
        _beaten(figures),
        "",
        "### Error by lead",
        "",
        f"![Mean absolute error by lead, model and baselines]({FOLDER}/{name}-errors.png)",
        "",
        *_errors(figures),
        "",
        "### Intervals",
        "",
        f"![Share of the truth inside the intervals, by lead]({FOLDER}/{name}-reliability.png)",
        "",
        *_intervals(figures),
        "",
        "The intervals are those of service: a training sets them, and every UTC day each station's are made wider or "
        f"narrower by what came true in the {DAYS} days before. *As trained* is without that.",
        "",
        "### Seasons and stations",
        "",
        *_groups("season", figures["by_season"]),
        "",
        f"![Skill by station]({FOLDER}/{name}-stations.png)",
        "",
        "<details><summary>Every station</summary>",
        "",
        *_groups("station", figures["by_station"]),
        "",
        "</details>",
        "",
    ]
    if figures.get("little_past"):
        lines += ["### A station with little past", "", *_little_past(figures["little_past"]), ""]
    return "\n".join(lines)


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def _skill(figures: dict[str, Any]) -> list[str]:
    rows = []
    for who, skills in figures["skill"].items():
        cells = [
            "" if skills[v][0] is None else f"{skills[v][0]:+.3f} ({skills[v][1]:+.3f} … {skills[v][2]:+.3f})"
            for v in VARIABLES
        ]
        rows.append([f"against {_words(who)}", *cells])
    return table(["", *map(_words, VARIABLES)], rows)


def _beaten(figures: dict[str, Any]) -> str:
    worse = []
    for variable in VARIABLES:
        gains = figures["gain_over_best"][variable]
        leads = [
            f"{lead} h ({gain:+.1%})" for lead, gain in zip(LEADS, gains, strict=True) if gain is not None and gain < 0
        ]
        if leads:
            worse.append(f"{_words(variable)} at {', '.join(leads)}")
    if worse:
        said = f"Worse than {BEST}: {'; '.join(worse)}. At all other leads the model errs less."
    else:
        said = f"At every lead from 1 to 24 h and for every variable the model errs less than {BEST}."
    return " ".join([said, *_beaten_by_rivals(figures)])


def _beaten_by_rivals(figures: dict[str, Any]) -> Iterator[str]:
    for who in (name for name in figures["skill"] if name not in BASELINES):
        for variable, (skill, low, high) in figures["skill"][who].items():
            if skill is not None and skill < 0:
                chance = "more than by chance" if high < 0 else f"within chance ({low:+.3f} … {high:+.3f})"
                yield f"Against {_words(who)} its {_words(variable)} is not better: {skill:+.1%}, {chance}."


def _errors(figures: dict[str, Any]) -> list[str]:
    rows = []
    for variable in VARIABLES:
        for who in figures["mae"]:
            errors = figures["mae"][who][variable]
            rows.append([f"{_words(variable)}, {_words(who)}", *(_number(errors[lead - 1]) for lead in SHOWN_LEADS)])
    return table(["MAE (" + ", ".join(UNITS[v] for v in VARIABLES) + ")", *(f"{lead} h" for lead in SHOWN_LEADS)], rows)


def _intervals(figures: dict[str, Any]) -> list[str]:
    rows = []
    for level, shares in figures["coverage"].items():
        for variable in VARIABLES:
            stations = [
                (group["coverage"][level][variable], name)
                for name, group in figures["by_station"].items()
                if group["coverage"][level][variable] is not None
            ]
            worst, name = min(stations)
            rows.append(
                [
                    f"{level}, {_words(variable)}",
                    _percent(_mean(shares[variable])),
                    f"{_percent(worst)} ({name})",
                    _percent(_mean(figures["coverage_as_trained"][level][variable])),
                    _number(_mean(figures["width"][level][variable])),
                    _number(_mean(figures["crps"][variable])),
                ]
            )
    return table(
        ["interval", "holds", "at the worst station", "as trained", "mean width", "CRPS of the forecast"], rows
    )


def _groups(what: str, groups: dict[str, Any]) -> list[str]:
    head = [what, "forecasts", *(f"{_words(v)}: MAE, skill" for v in VARIABLES)]
    rows = []
    for name, group in groups.items():
        cells = [
            "–" if group["mae"][v] is None else f"{_number(group['mae'][v])}, {_signed(group['skill'][v])}"
            for v in VARIABLES
        ]
        rows.append([name, f"{group['cases']:,}", *cells])
    return table(head, rows)


def _little_past(pasts: dict[str, Any]) -> list[str]:
    rows = [[f"{hours} h", *(_signed(skill[v]) for v in VARIABLES)] for hours, skill in pasts.items()]
    return [
        "Skill against the damped anomaly of some stations whose own past is cut off while that of their neighbours is "
        "not, on the same cases.",
        "",
        *table(["own past", *map(_words, VARIABLES)], rows),
    ]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _words(name: str) -> str:
    return {"harmonic_arma": "harmonic ARMA"}.get(name, name.replace("_", " "))
