from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.splits import HistoryTooShort, base_hours, is_long, mask_hours, segments, split
from weatherglass.history.grid import KEPT_GAP_HOURS, HourGrid
from weatherglass.records import LEADS


def empty(hours: int, gaps: tuple[tuple[int, int], ...] = ()) -> HourGrid:
    return HourGrid((), np.datetime64("2013-01-01T00", "h"), np.empty((0, hours, 6), np.float32), gaps)


def ranges(mask: np.ndarray) -> list[tuple[int, int]]:
    """First hour and last hour + 1 of each block of a mask, by a plain loop."""
    blocks: list[tuple[int, int]] = []
    for hour, inside in enumerate(mask.tolist()):
        if not inside:
            continue
        if blocks and blocks[-1][1] == hour:
            blocks[-1] = (blocks[-1][0], hour + 1)
        else:
            blocks.append((hour, hour + 1))
    return blocks


def test_a_short_history_calibrates_at_the_end_of_periods_of_about_36_days() -> None:
    """Of 100 days, 15 % are 360 h for the test; the other 2040 h are round(2040 / 864) = 2 periods of 1020 h."""
    masks = split(empty(100 * 24))
    assert ranges(masks.test) == [(2040, 2400)]
    assert ranges(masks.calibrate) == [(765, 1020), (1785, 2040)]
    assert ranges(masks.train) == [(0, 765), (1020, 1785)]


def test_the_shortest_history_has_one_period() -> None:
    """Of 60 days, 216 h are for the test; the other 1224 h are round(1224 / 864) = 1 period."""
    masks = split(empty(60 * 24))
    assert ranges(masks.test) == [(1224, 1440)]
    assert ranges(masks.calibrate) == [(918, 1224)]


def test_a_long_history_calibrates_at_the_end_of_periods_of_about_80_days() -> None:
    """Of 900 days, 3240 h are for the test; the other 18360 h are round(18360 / 1920) = 10 periods of 1836 h."""
    masks = split(empty(900 * 24))
    assert ranges(masks.test) == [(18360, 21600)]
    assert ranges(masks.calibrate) == [(1836 * k + 1377, 1836 * (k + 1)) for k in range(10)]


def test_without_a_test_all_hours_train_or_calibrate() -> None:
    masks = split(empty(100 * 24), test_share=0.0)
    assert not masks.test.any()
    assert (masks.train ^ masks.calibrate).all()


HALF = KEPT_GAP_HOURS // 2


def test_each_record_is_split_alone() -> None:
    """400 days, a gap, and 40 days: 15 % of each are for the test, and 816 h are round(816 / 864) = 1 period."""
    old, new = 400 * 24, 40 * 24
    masks = split(empty(old + KEPT_GAP_HOURS + new, ((old + HALF, 24_000),)))
    alone = split(empty(old))
    begin = old + KEPT_GAP_HOURS
    for name in ("train", "calibrate", "test"):
        np.testing.assert_array_equal(getattr(masks, name)[:old], getattr(alone, name), err_msg=name)
        # Missing hours belong to no part.
        assert not getattr(masks, name)[old:begin].any()
    assert ranges(masks.test)[1:] == [(begin + 816, begin + 960)]
    assert ranges(masks.calibrate)[-1] == (begin + 612, begin + 816)
    assert ranges(masks.train)[-1] == (begin, begin + 612)


def test_test_hours_of_a_growing_record_were_never_trained_on() -> None:
    """A champion is compared on the test hours of a later training, which must be new to it."""
    old = 100 * 24
    used = np.zeros(0, bool)
    for days in range(1, 500, 7):
        masks = split(empty(old + KEPT_GAP_HOURS + days * 24, ((old + HALF, 24_000),)))
        assert not (masks.test[: len(used)] & used).any(), days
        used = np.concatenate([used, np.zeros(len(masks.test) - len(used), bool)]) | masks.train | masks.calibrate


def test_a_history_of_less_than_60_days_is_refused() -> None:
    with pytest.raises(HistoryTooShort, match=r"\b60\b"):
        split(empty(60 * 24 - 1))
    assert split(empty(60 * 24)).train.any()


def test_a_history_is_long_from_1_6_years_on() -> None:
    assert not is_long(14_025)
    assert is_long(14_026)


def test_base_hours_have_their_past_and_their_leads_inside_the_mask() -> None:
    mask = np.zeros(400, bool)
    mask[10 : 10 + 97] = True  # 72 h of past, the base hour, 24 leads: exactly one base hour
    mask[200:296] = True  # one hour less
    mask[300:400] = True
    np.testing.assert_array_equal(base_hours(mask), [82, 372, 373, 374, 375])


def test_base_hours_of_two_masks_share_no_hour() -> None:
    masks = split(empty(400 * 24))
    reach = []
    for mask in (masks.train, masks.calibrate, masks.test):
        base = base_hours(mask)
        assert len(base) > 24
        reach.append(set((base[:, None] + np.arange(-PAST_HOURS, LEADS[-1] + 1)).ravel().tolist()))
    train, calibrate, test = reach
    assert not train & calibrate
    assert not train & test
    assert not calibrate & test
    assert min(test) > max(train | calibrate)


def test_segments_are_the_blocks_of_a_mask_cut_into_equal_pieces() -> None:
    mask = np.zeros(100, bool)
    mask[5:25] = mask[40:100] = True
    assert segments(mask, 1) == [slice(5, 25), slice(40, 100)]
    assert segments(mask, 3) == [slice(5, 15), slice(15, 25), slice(40, 70), slice(70, 100)]
    assert segments(mask, 5) == [
        slice(5, 11),
        slice(11, 18),
        slice(18, 25),
        slice(40, 60),
        slice(60, 80),
        slice(80, 100),
    ]
    assert segments(~np.ones(10, bool), 4) == []


def test_masked_hours_are_missing_at_all_stations() -> None:
    grid = history(count=2, days=2)
    mask = np.arange(48) % 2 == 0
    masked = mask_hours(grid, mask)
    assert np.isnan(masked.values[:, ~mask]).all()
    np.testing.assert_array_equal(masked.values[:, mask], grid.values[:, mask])
