"""Units of the values that sources contain, and their conversion to the units of the records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

DECIMALS = 4
"""Of converted values in records; more are the noise of the conversion."""


@dataclass(frozen=True)
class Unit:
    """A unit: value in the unit of the records = value * factor + offset.

    Attributes:
        spellings: in lower case, without spaces and degree signs.
    """

    name: str
    spellings: tuple[str, ...]
    factor: float = 1.0
    offset: float = 0.0

    def convert(self, value: Any) -> Any:
        """A number or an array of numbers in this unit, in the unit of the records."""
        return value * self.factor + self.offset


INCH_OF_MERCURY, MILLIMETRE_OF_MERCURY = 33.86389, 1.333224
"""hPa (NIST SP 811, appendix B.8)."""
UNITS = {
    "temperature": (
        Unit("°C", ("c", "celsius")),
        Unit("°F", ("f", "fahrenheit"), 5 / 9, -160 / 9),
        Unit("K", ("k", "kelvin"), 1.0, -273.15),
    ),
    "humidity": (Unit("%", ("%", "percent", "%rh")), Unit("fraction", ("fraction",), 100.0)),
    "pressure": (
        Unit("hPa", ("hpa", "mbar", "mb", "millibar")),
        Unit("Pa", ("pa",), 0.01),
        Unit("kPa", ("kpa",), 10.0),
        Unit("inHg", ("inhg",), INCH_OF_MERCURY),
        Unit("mmHg", ("mmhg",), MILLIMETRE_OF_MERCURY),
    ),
    "wind_speed": (
        Unit("m/s", ("m/s", "ms-1", "mps")),
        Unit("km/h", ("km/h", "kmh", "kph", "kmh-1"), 1 / 3.6),
        Unit("mph", ("mph", "mi/h"), 0.44704),
        Unit("kt", ("kt", "kts", "kn", "knot", "knots"), 1852 / 3600),
    ),
    "wind_direction": (Unit("°", ("", "true")),),
    "dew_point": (
        Unit("°C", ("c", "celsius")),
        Unit("°F", ("f", "fahrenheit"), 5 / 9, -160 / 9),
        Unit("K", ("k", "kelvin"), 1.0, -273.15),
    ),
}
UNITS["wind_gust"] = UNITS["wind_speed"]


def find_unit(variable: str, text: str) -> Unit | None:
    """Return the unit that a text names; None if it is unknown."""
    key = re.sub(
        r"[\s°*º·.^⁻¹]|deg(?:rees?)?|℃|℉",
        lambda m: {"℃": "c", "℉": "f", "⁻": "-", "¹": "1"}.get(m[0], ""),
        text.lower(),
    )
    return next((unit for unit in UNITS[variable] if key in unit.spellings), None)
