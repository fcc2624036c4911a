"""Station ids of other producers: which ones records may have. One table for all parsers."""

from __future__ import annotations

ACCEPTED = (
    *(
        "new-york",
        "JFK",
        "a",
        "-",
        "...",
        "....",
        ".a",
        "a.",
        "..a",
        "a..b",
        "a b",
        " ",
        "~",
        "%2e%2e",
        "%2f",
        ":",
        "*",
    ),
    *("<b>", "'", '"', "$(id)", "München", "東京", "\u00a0", "\ufeff", "\U0001f327", "\U0001f327" * 100, "x" * 100),
)
REFUSED = (
    *("", ".", "..", "/", "\\", "a/b", "a\\b", "../..", "./a", "..\\a", "/a", "a/", "C:\\a", "x" * 101),
    *("a\0", "a\tb", "a\nb", "a\r", "\x1b[31m", "a\x7f", "a\x80", "a\x85b", "a\x9f", "\U0001f327" * 101),
)
ONE_CHARACTER = tuple(chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000)
"""All of the basic multilingual plane."""
