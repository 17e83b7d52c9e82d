"""Cron expressions against the real Quartz, and time zones against Java's rules for their ids."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.engine.cron import parse, resolve_timezone
from quire.errors import InvalidValue

GOLDEN = Path(__file__).parent / "cron_golden" / "golden.json"
LOS_ANGELES = ZoneInfo("America/Los_Angeles")
START = datetime(2026, 11, 20, 20, tzinfo=UTC)  # a Friday, noon in Los Angeles


def fire_times(text: str, start: datetime, zone: tzinfo, count: int) -> list[datetime | None]:
    """Up to ``count`` fire times; the last one is None when the expression stops firing."""
    expression = parse(text)
    times: list[datetime | None] = []
    moment: datetime | None = start
    while moment is not None and len(times) < count:
        moment = expression.next_after(moment, zone)
        times.append(moment)
    return times


def local_times(text: str, start: str, count: int, zone: str = "America/Los_Angeles") -> list[str]:
    """Fire times as wall time with offset, after a wall time of ``zone`` given with its offset."""
    found = fire_times(text, datetime.fromisoformat(start), resolve_timezone(zone), count)
    return [str(each.astimezone(resolve_timezone(zone))) for each in found if each is not None]


def test_fire_times_are_those_of_quartz() -> None:
    rows = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(rows) == 3000
    wrong = []
    for text, zone, start, expected in rows:
        found = fire_times(
            text, datetime.fromtimestamp(start, UTC), resolve_timezone(zone), len(expected)
        )
        if [each and int(each.timestamp()) for each in found] != expected:
            wrong.append((text, zone, start, expected, found))
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 0 0 * *",  # a crontab line
        "0 0 0 * * *",  # neither day field is ?
        "0 0 0 ? * ?",
        "0 0 0 1 * 1",
        "0 0 0 ? * MON 2027 9",
        "60 0 0 ? * MON",
        "0 60 0 ? * MON",
        "0 0 24 ? * MON",
        "0 0 0 0 * ?",
        "0 0 0 32 * ?",
        "0 0 0 1 0 ?",
        "0 0 0 1 13 ?",
        "0 0 0 ? * 0",
        "0 0 0 ? * 8",
        "0 0 0 ? * MON 1969",
        "0 0 0 ? * MON 2300",
        "0 0 0 ? * MON 2030-2027",
        "0/60 * * ? * *",
        "0 0/61 * ? * *",
        "0 0 */24 ? * *",
        "0 0 0 1/32 * ?",
        "0 0 0 1 1/13 ?",
        "0 0 0 ? * 1/8",
        "? * * ? * *",
        "* * * ? ? *",
        "0 0 0 5,? * MON",
        "5- * * ? * *",
        "-5 * * ? * *",
        "5-6-7 * * ? * *",
        "5/ * * ? * *",
        "/ * * ? * *",
        "*/5/5 * * ? * *",
        "*5 * * ? * *",
        "5X * * ? * *",
        "+5 * * ? * *",
        "٣ * * ? * *",
        "99999999999999999999 * * ? * *",
        "0 0 0 L-31 * ?",
        "0 0 0 L,1 * ?",
        "0 0 0 1,L * ?",
        "0 0 0 LW,1 * ?",
        "0 0 0 W * ?",
        "0 0 0 WL * ?",
        "0 0 0 5L * ?",
        "0 0 0 1-5W * ?",
        "0 0 0 1 1W ?",
        "0 0 0 1 XXX ?",
        "0 0 0 1 JANU ?",
        "0 0 0 ? * MONDAY",
        "0 0 0 ? * FRI-2",  # a name and a number in one range
        "0 0 0 ? * 6-MON",
        "0 0 0 ? * MON-FRI/2",  # Quartz drops the step in silence
        "0 0 0 ? * MON,,FRI",
        "0 0 0 ? * 5L,1",
        "0 0 0 ? * 2-6L",
        "0 0 0 ? * 6#0",
        "0 0 0 ? * 6#6",
        "0 0 0 ? * MON#",
        "0 0 0 ? * 2#1,3#2",
        "0 0 0 ? * 2-6#2",
        "0\n0 0 ? * MON",
        "0 0 0 ? * MON" + ",MON" * 300,
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse(text)
    assert refused.value.field == "cron"


def test_the_refusal_names_the_part_and_the_reason() -> None:
    with pytest.raises(InvalidValue, match=r"hours '25': values are 0 to 23"):
        parse("0 0 25 ? * MON")


def test_case_and_surplus_blanks_do_not_matter() -> None:
    assert parse("  0 15\t10 ?  * mon-fri ") == parse("0 15 10 ? * 2-6")
    assert parse("0 0 0 l-3w * ?") == parse("0 0 0 L-3W * ?")


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("0 0 0 ? * 1", ["2026-11-22", "2026-11-29"]),  # 1 is Sunday
        ("0 0 0 ? * L", ["2026-11-21", "2026-11-28"]),  # alone it is Saturday
        ("0 0 0 ? * FRIL", ["2026-11-27", "2026-12-25"]),
        ("0 0 0 ? * 6#3", ["2026-12-18", "2027-01-15"]),
        ("0 0 0 ? * 1#5", ["2026-11-29", "2027-01-31"]),  # December has four Sundays
        ("0 0 0 ? * FRI-MON", ["2026-11-21", "2026-11-22"]),
        ("0 0 0 1 NOV-FEB ?", ["2026-12-01", "2027-01-01", "2027-02-01", "2027-11-01"]),
        ("0 0 0 L * ?", ["2026-11-30", "2026-12-31"]),
        ("0 0 0 L-30 * ?", ["2026-12-01", "2027-01-01", "2027-03-01"]),
        ("0 0 0 L-30W * ?", ["2026-12-01", "2027-01-01", "2027-03-01"]),  # Quartz never returns
        ("0 0 0 LW 1-2 ?", ["2027-01-29", "2027-02-26"]),
        ("0 0 0 1W 5 ?", ["2027-05-03"]),  # a Saturday: forward, to stay in the month
        ("0 0 0 31W 1 ?", ["2027-01-29"]),  # a Sunday and the last day: back
        ("0 0 0 31W 4 ?", ["2027-04-30", "2032-04-30"]),  # only where the 1st is a Saturday
        ("0 0 0 20,15W * ?", ["2026-12-15", "2027-01-15"]),  # only the lowest counts
        ("0 0 0 ? * 3#1,2", ["2026-12-07", "2027-01-04"]),
        ("0 0 0 29 2 ?", ["2028-02-29", "2032-02-29"]),
        ("0 0 0 1 1 ? 2026-2028", ["2027-01-01", "2028-01-01"]),
    ],
)
def test_special_days(text: str, dates: list[str]) -> None:
    found = fire_times(text, START, LOS_ANGELES, len(dates))
    local = [each.astimezone(LOS_ANGELES) for each in found if each is not None]
    assert [f"{each:%Y-%m-%d %H:%M}" for each in local] == [f"{each} 00:00" for each in dates]


@pytest.mark.parametrize("text", ["0 0 0 30 2 ?", "0 0 0 1 1 ? 2026", "0 0 0 31 4,6,9,11 ?"])
def test_an_expression_that_never_fires_again(text: str) -> None:
    assert parse(text).next_after(START, LOS_ANGELES) is None


def test_the_search_ends_a_hundred_years_ahead() -> None:
    expression = parse("0 0 0 1 1 ? 2200")
    assert expression.next_after(START, UTC) is None
    assert expression.next_after(datetime(2101, 1, 1, tzinfo=UTC), UTC) == datetime(
        2200, 1, 1, tzinfo=UTC
    )


def test_the_search_ends_with_the_last_year_of_the_syntax() -> None:
    assert parse("0 0 0 1 1 ?").next_after(datetime(2299, 6, 1, tzinfo=UTC), UTC) is None


def test_a_time_the_spring_change_leaves_out_is_skipped_that_day() -> None:
    assert local_times("0 30 2 * * ?", "2027-03-13T12:00:00-08:00", 2) == [
        "2027-03-15 02:30:00-07:00",
        "2027-03-16 02:30:00-07:00",
    ]
    assert local_times("0 0 2-4 14 3 ?", "2027-03-13T12:00:00-08:00", 2) == [
        "2027-03-14 03:00:00-07:00",
        "2027-03-14 04:00:00-07:00",
    ]


def test_a_time_the_autumn_change_repeats_fires_once_at_the_second() -> None:
    assert local_times("0 30 1 * * ?", "2026-10-31T12:00:00-07:00", 2) == [
        "2026-11-01 01:30:00-08:00",
        "2026-11-02 01:30:00-08:00",
    ]
    assert local_times("0 0/30 * * * ?", "2026-11-01T00:30:00-07:00", 2) == [
        "2026-11-01 01:00:00-08:00",
        "2026-11-01 01:30:00-08:00",
    ]


def test_asked_within_the_first_of_two_equal_hours_the_second_is_still_to_come() -> None:
    assert local_times("0 30 1 * * ?", "2026-11-01T01:45:00-07:00", 1) == [
        "2026-11-01 01:30:00-08:00"
    ]
    assert local_times("0 30 1 * * ?", "2026-11-01T01:30:00-08:00", 1) == [
        "2026-11-02 01:30:00-08:00"
    ]


def test_a_gap_that_does_not_end_with_the_hour_spares_what_lies_behind_it() -> None:
    assert local_times("0 0,45 3 27 9 ?", "2026-09-26T00:00:00+12:45", 1, "Pacific/Chatham") == [
        "2026-09-27 03:45:00+13:45"
    ]


def test_a_fire_time_is_later_than_the_moment_even_by_a_microsecond() -> None:
    expression = parse("0 0 12 * * ?")
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert expression.next_after(noon - timedelta(microseconds=1), UTC) == noon
    assert expression.next_after(noon, UTC) == noon + timedelta(days=1)


_SECONDS_OF_TWO_YEARS = 2 * 366 * 86400


@given(
    minute=st.integers(0, 59),
    hours=st.sets(st.integers(0, 23), min_size=1),
    weekdays=st.sets(st.integers(1, 7), min_size=1),
    offset=st.integers(0, _SECONDS_OF_TWO_YEARS),
    zone=st.sampled_from(["America/Los_Angeles", "Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_left_out_and_nothing_is_added(
    minute: int, hours: set[int], weekdays: set[int], offset: int, zone: str
) -> None:
    """Against looking at each minute of the next days."""
    info = ZoneInfo(zone)
    start = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=offset)).replace(second=0)
    text = f"0 {minute} {','.join(map(str, hours))} ? * {','.join(map(str, weekdays))}"
    expected = []
    for minutes in range(1, 4 * 24 * 60):
        moment = start + timedelta(minutes=minutes)
        local = moment.astimezone(info)
        comes_again = local.utcoffset() != local.replace(fold=1).utcoffset()
        matches = (
            local.minute == minute
            and local.hour in hours
            and local.isoweekday() % 7 + 1 in weekdays
        )
        if matches and not comes_again:
            expected.append(moment)
    assert fire_times(text, start, info, len(expected)) == expected


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("America/Los_Angeles", -8),
        ("UTC", 0),
        ("GMT", 0),
        ("EST", -5),
        ("HST", -10),
        ("PST", -8),
        ("IST", 5.5),
        ("JST", 9),
        ("SST", 11),
        ("GMT+5", 5),
        ("GMT+05:30", 5.5),
        ("GMT-0330", -3.5),
        ("GMT+14:00", 14),
        ("Etc/GMT+5", -5),
    ],
)
def test_known_time_zones(name: str, hours: float) -> None:
    january = datetime(2027, 1, 15, tzinfo=resolve_timezone(name))
    assert january.utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "america/los_angeles",
        "GMT+24",
        "GMT+5:60",
        "GMT+5:3",
        "GMT+٣",
        "UTC+5",
        "+05:00",
        "localtime",
        "posixrules",
        "Factory",
        "posix/UTC",
        "right/UTC",
        "America",
        "../UTC",
        "/etc/localtime",
        "America/../UTC",
        "UTC\0",
        "zone.tab",
        "x" * 5000,
    ],
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        resolve_timezone(name)
    assert refused.value.field == "timezone"
