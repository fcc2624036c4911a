"""Published extremes of weather stations, each with its source, and values that are impossible at a place.

WMO: World Weather and Climate Extremes Archive. NOAA: State Climate Extremes Committee.
"""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """A value of a variable at a place: degrees north, metres, unit of the records."""

    place: str
    latitude: float
    elevation: float
    variable: str
    value: float
    source: str = ""


EXTREMES = [
    Value("Vostok", -78.46, 3488, "temperature", -89.2, "WMO: lowest on Earth, 21 July 1983"),
    Value("Dome A", -80.37, 4093, "temperature", -82.5, "Australian Antarctic Division, July 2005"),
    Value("South Pole", -90.0, 2835, "temperature", -82.8, "Amundsen-Scott station, 23 June 1982"),
    Value("Klinck, Greenland", 72.3, 3105, "temperature", -69.6, "WMO: lowest of the northern hemisphere, 1991"),
    Value("Oymyakon", 63.46, 741, "temperature", -67.8, "WMO: lowest of Asia, 6 February 1933"),
    Value("Verkhoyansk", 67.55, 107, "temperature", -67.8, "WMO: lowest of Asia, 1892"),
    Value("Snag, Yukon", 62.37, 646, "temperature", -63.0, "WMO: lowest of North America, 1947"),
    Value("Ust-Shchugor", 64.25, 85, "temperature", -58.1, "WMO: lowest of Europe, 1978"),
    Value("Rogers Pass, Montana", 47.09, 1667, "temperature", -56.7, "NOAA, 20 January 1954"),
    Value("Peter Sinks, Utah", 41.91, 2490, "temperature", -56.3, "NOAA, 1 February 1985"),
    Value("Maybell, Colorado", 40.52, 1804, "temperature", -51.7, "NOAA, 1 February 1985"),
    Value("Tower, Minnesota", 47.80, 433, "temperature", -51.1, "NOAA, 2 February 1996"),
    Value("Shelbyville, Kentucky", 38.21, 222, "temperature", -38.3, "NOAA, 19 January 1994"),
    Value("Nowata, Oklahoma", 36.70, 216, "temperature", -35.0, "NOAA, 10 February 2011"),
    Value("Minden, Louisiana", 32.62, 56, "temperature", -26.7, "NOAA, 13 February 1899"),
    Value("Tallahassee, Florida", 30.44, 62, "temperature", -18.9, "NOAA, 13 February 1899"),
    Value("Sarmiento, Argentina", -45.6, 268, "temperature", -32.8, "WMO: lowest of South America, 1907"),
    Value("Ifrane, Morocco", 33.5, 1635, "temperature", -23.9, "WMO: lowest of Africa, 1935"),
    Value("Charlotte Pass, Australia", -36.4, 1755, "temperature", -23.0, "Bureau of Meteorology, 29 June 1994"),
    Value("Death Valley", 36.45, -54, "temperature", 56.7, "WMO: highest on Earth, 10 July 1913"),
    Value("Mitribah, Kuwait", 29.82, 119, "temperature", 53.9, "WMO: highest of Asia, 21 July 2016"),
    Value("Mount Everest, summit", 27.99, 8849, "pressure", 331.0, "Matthews et al. (2020), iScience 23: mean"),
    Value("Mount Everest, Balcony", 27.98, 8430, "pressure", 360.0, "National Geographic, Perpetual Planet, June 2019"),
    Value("Mount Everest, South Col", 27.97, 7945, "pressure", 382.1, "SHARE network (Ev-K2-CNR), May 2008"),
    Value("Tosontsengel, Mongolia", 48.73, 1725, "pressure", 846.5, "WMO: highest above 750 m, 30 December 2004"),
    Value("Typhoon Tip", 16.73, 0, "pressure", 870.0, "WMO: lowest at sea level, 12 October 1979"),
    Value("Sea level", 66.88, 0, "pressure", 1083.8, "WMO: highest below 750 m (Agata, reduced), 31 December 1968"),
    Value("Dead Sea", 31.5, -423, "pressure", 1065.2, "799 mmHg: Kramer et al. (1998), Int. J. Biometeorol. 42"),
]
"""Measured values: no check of quality control may fail."""

FAULTS = [
    Value("Lisbon", 38.72, 77, "temperature", -60.0),
    Value("Singapore", 1.37, 16, "temperature", -10.0),
    Value("Miami", 25.77, 2, "temperature", -40.0),
    Value("Vostok", -78.46, 3488, "temperature", -95.1),
    Value("Death Valley", 36.45, -54, "temperature", 60.1),
    Value("Lisbon", 38.72, 77, "pressure", 540.0),
    Value("Lisbon", 38.72, 77, "pressure", 760.0),
    Value("Mount Everest, Balcony", 27.98, 8430, "pressure", 250.0),
    Value("Dead Sea", 31.5, -423, "pressure", 1100.1),
    Value("Lisbon", 38.72, 77, "humidity", 106.0),
    Value("Lisbon", 38.72, 77, "humidity", 130.0),
    Value("Lisbon", 38.72, 77, "humidity", -0.1),
    Value("Lisbon", 38.72, 77, "wind_speed", 75.1),
    Value("Lisbon", 38.72, 77, "wind_direction", 360.1),
]
"""Values that are impossible at the place: the range check must fail."""
