"""When a schedule fires: Quartz cron expressions and the time zones they are read in.

Owns syntax and arithmetic only; what a due or missed time leads to is the scheduler's business.
Behaviour is that of ``org.quartz.CronExpression`` 2.3.2, with these differences:

* Text that Quartz skips in silence is refused: an eighth field, ``5X``, ``MONDAY``, ``MON/2``,
  ``2-6L``, an empty list element.
* What is found depends on the expression and the moment alone. The search ends with the hundredth
  year after the moment, not after today; a repeated hour fires at its second pass also when asked
  from within the first; the part of an hour behind a gap fires; ``L-30W`` skips a short month.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from quire.errors import InvalidValue

__all__ = ["CronExpression", "parse", "resolve_timezone"]

_SEARCH_YEARS = 100
_LONGEST_TEXT = 1024
_SECOND = timedelta(seconds=1)

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_SATURDAY = 7


@dataclass(frozen=True)
class _Position:
    """The values one position of an expression may hold."""

    name: str
    least: int
    most: int
    largest_step: int
    names: tuple[str, ...] = ()  # the first one means ``least``


_SECONDS = _Position("seconds", 0, 59, 59)
_MINUTES = _Position("minutes", 0, 59, 59)
_HOURS = _Position("hours", 0, 23, 23)
_DAY_OF_MONTH = _Position("day-of-month", 1, 31, 31)
_MONTH = _Position("month", 1, 12, 12, _MONTHS)
_DAY_OF_WEEK = _Position("day-of-week", 1, 7, 7, _WEEKDAYS)
_YEAR = _Position("year", 1970, 2299, 2299)

_STEPPED = re.compile(
    r"""(?: (?P<every>\*)
          | (?P<first>[0-9]+|[A-Z]{3}) (?: - (?P<last>[0-9]+|[A-Z]{3}) )?
        )?
        (?: / (?P<step>[0-9]+) )?""",
    re.VERBOSE | re.ASCII,
)
_LAST_DAY = re.compile(r"L(?:-(?P<offset>[0-9]+))?(?P<weekday>W)?", re.ASCII)
_NEAREST_WEEKDAY = re.compile(r"(?P<day>[0-9]+)W", re.ASCII)
_LAST_IN_MONTH = re.compile(r"(?P<day>[0-9]+|[A-Z]{3})L", re.ASCII)
_NTH_IN_MONTH = re.compile(r"(?P<day>[0-9]+|[A-Z]{3})\#(?P<nth>[0-9]+)", re.ASCII)


@dataclass(frozen=True)
class _DaysOfMonth:
    """The third field: plain days, the nearest weekday to one, or days counted from the end."""

    days: frozenset[int] = frozenset()
    nearest_weekday: bool = False
    before_last: int | None = None  # days before the month's last; then ``days`` is empty

    def of(self, year: int, month: int) -> list[int]:
        length = calendar.monthrange(year, month)[1]
        if self.before_last is not None:
            wanted = [length - self.before_last]
        elif self.nearest_weekday:
            # As in Quartz, the lowest day of a list with a W in it is the only one that counts.
            wanted = [min(self.days)]
        else:
            wanted = sorted(self.days)
        if self.nearest_weekday:
            wanted = [_nearest_weekday(year, month, day, length) for day in wanted if day >= 1]
        return [day for day in wanted if 1 <= day <= length]


@dataclass(frozen=True)
class _DaysOfWeek:
    """The sixth field; 1 is Sunday and 7 is Saturday."""

    days: frozenset[int]
    nth: int | None = None
    last: bool = False

    def of(self, year: int, month: int) -> list[int]:
        length = calendar.monthrange(year, month)[1]
        first_weekday = _weekday(date(year, month, 1))
        if self.nth is None and not self.last:
            return [
                day
                for day in range(1, length + 1)
                if (first_weekday + day - 2) % 7 + 1 in self.days
            ]
        # As in Quartz, the lowest day of a list with a # in it is the only one that counts.
        first = 1 + (min(self.days) - first_weekday) % 7
        same = list(range(first, length + 1, 7))
        if self.last:
            return same[-1:]
        assert self.nth is not None
        return same[self.nth - 1 : self.nth]


@dataclass(frozen=True)
class CronExpression:
    """A parsed expression. Compare by meaning; ``text`` is what was written."""

    text: str = field(compare=False)
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: _DaysOfMonth | _DaysOfWeek
    months: tuple[int, ...]
    years: frozenset[int]

    def next_after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first fire time later than ``moment``, in UTC; None when there is none.

        Fields are read as wall time in ``zone``. A wall time that a change of the clock leaves out
        does not fire that day; one that comes twice fires once, at its second coming. The search
        ends with the hundredth year after ``moment``.
        """
        moment = moment.astimezone(UTC)
        earliest = (moment.replace(microsecond=0) + _SECOND).astimezone(zone)
        # Wall times that come twice count at their second coming, so in the first pass of such
        # an hour the fire times still to come start as early as the hour itself.
        twice = _offset(earliest.replace(fold=0), zone) - _offset(earliest.replace(fold=1), zone)
        wall = earliest.replace(tzinfo=None, fold=0)
        if not earliest.fold and twice > timedelta(0):
            wall -= twice
        for day in self._days_from(wall.date()):
            first = wall.time() if day == wall.date() else time.min
            for at in self._times_from(first):
                fires_at = _to_utc(datetime.combine(day, at), zone)
                if fires_at is not None and fires_at > moment:
                    return fires_at
        return None

    def _days_from(self, first: date) -> Iterator[date]:
        for year in range(first.year, min(first.year + _SEARCH_YEARS, _YEAR.most) + 1):
            if year not in self.years:
                continue
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                for day in self.days.of(year, month):
                    found = date(year, month, day)
                    if found >= first:
                        yield found

    def _times_from(self, first: time) -> Iterator[time]:
        for hour in self.hours:
            if hour < first.hour:
                continue
            for minute in self.minutes:
                if (hour, minute) < (first.hour, first.minute):
                    continue
                for second in self.seconds:
                    if (hour, minute, second) >= (first.hour, first.minute, first.second):
                        yield time(hour, minute, second)


def parse(text: str) -> CronExpression:
    """Read a Quartz expression: seconds minutes hours day-of-month month day-of-week [year].

    Raises InvalidValue for field ``cron``, saying which part is wrong and why. Source: Databricks
    contract 5; behaviour measured against Quartz 2.3.2.
    """
    if len(text) > _LONGEST_TEXT:
        raise _invalid(f"the expression is longer than {_LONGEST_TEXT} characters.")
    parts = re.split(r"[ \t]+", text.strip(" \t").upper()) if text.strip(" \t") else []
    if len(parts) not in (6, 7):
        raise _invalid(
            f"{text!r} has {len(parts)} fields; six or seven are needed: seconds minutes hours "
            "day-of-month month day-of-week [year]."
        )
    seconds, minutes, hours, day_of_month, month, day_of_week = parts[:6]
    if (day_of_month == "?") == (day_of_week == "?"):
        raise _invalid("exactly one of day-of-month and day-of-week must be '?'.")
    days: _DaysOfMonth | _DaysOfWeek = (
        _parse_days_of_week(day_of_week)
        if day_of_month == "?"
        else _parse_days_of_month(day_of_month)
    )
    return CronExpression(
        text=text,
        seconds=tuple(sorted(_parse_values(_SECONDS, seconds))),
        minutes=tuple(sorted(_parse_values(_MINUTES, minutes))),
        hours=tuple(sorted(_parse_values(_HOURS, hours))),
        days=days,
        months=tuple(sorted(_parse_values(_MONTH, month))),
        years=_parse_values(_YEAR, parts[6] if len(parts) == 7 else "*"),
    )


def _parse_days_of_month(text: str) -> _DaysOfMonth:
    if "L" in text:
        match = _LAST_DAY.fullmatch(text)
        if match is None:
            raise _wrong(_DAY_OF_MONTH, text, "L stands alone, or as L-n, LW or L-nW")
        offset = int(match["offset"] or 0)
        if offset > 30:
            raise _wrong(_DAY_OF_MONTH, text, "the offset from the last day is at most 30")
        return _DaysOfMonth(nearest_weekday=match["weekday"] is not None, before_last=offset)
    days: set[int] = set()
    nearest_weekday = False
    for element in text.split(","):
        match = _NEAREST_WEEKDAY.fullmatch(element)
        if match is None:
            days |= _parse_element(_DAY_OF_MONTH, element)
        else:
            nearest_weekday = True
            days.add(_parse_value(_DAY_OF_MONTH, match["day"]))
    return _DaysOfMonth(frozenset(days), nearest_weekday=nearest_weekday)


def _parse_days_of_week(text: str) -> _DaysOfWeek:
    if text == "L":
        return _DaysOfWeek(frozenset({_SATURDAY}))
    match = _LAST_IN_MONTH.fullmatch(text)
    if match is not None:
        return _DaysOfWeek(frozenset({_parse_value(_DAY_OF_WEEK, match["day"])}), last=True)
    if text.count("#") > 1:
        raise _wrong(_DAY_OF_WEEK, text, "only one # is possible")
    days: set[int] = set()
    nth: int | None = None
    for element in text.split(","):
        match = _NTH_IN_MONTH.fullmatch(element)
        if match is None:
            days |= _parse_element(_DAY_OF_WEEK, element)
        else:
            days.add(_parse_value(_DAY_OF_WEEK, match["day"]))
            nth = int(match["nth"])
            if not 1 <= nth <= 5:
                raise _wrong(_DAY_OF_WEEK, element, "a number from 1 to 5 follows #")
    return _DaysOfWeek(frozenset(days), nth=nth)


def _parse_values(position: _Position, text: str) -> frozenset[int]:
    return frozenset().union(*(_parse_element(position, element) for element in text.split(",")))


def _parse_element(position: _Position, text: str) -> frozenset[int]:
    match = _STEPPED.fullmatch(text)
    if match is None or not text:
        raise _wrong(position, text, "it is not a value, a range or a step")
    step = 1 if match["step"] is None else int(match["step"])
    if match["first"] is None:
        if step > position.largest_step:
            raise _wrong(position, text, f"the step is at most {position.largest_step}")
        return frozenset(range(position.least, position.most + 1, max(step, 1)))
    first = _parse_value(position, match["first"])
    named = match["first"].isalpha()
    if match["step"] is not None and named:
        raise _wrong(position, text, "a step needs numbers, not names")
    if match["last"] is None:
        if match["step"] is None or step == 0:
            return frozenset({first})
        if step > position.largest_step:
            raise _wrong(position, text, f"the step is at most {position.largest_step}")
        return frozenset(range(first, position.most + 1, step))
    if match["last"].isalpha() != named:
        raise _wrong(position, text, "a range has two names or two numbers")
    last = _parse_value(position, match["last"])
    if step == 0:
        return frozenset({first})
    if first > last and position is _YEAR:
        raise _wrong(position, text, "the first year is later than the last")
    count = position.most - position.least + 1
    span = (last - first) % count
    return frozenset(
        position.least + (first - position.least + distance) % count
        for distance in range(0, span + 1, step)
    )


def _parse_value(position: _Position, text: str) -> int:
    if text in position.names:
        return position.least + position.names.index(text)
    if not text.isdigit():
        raise _wrong(position, text, "there is no such name")
    if len(text) > 9 or not position.least <= int(text) <= position.most:
        raise _wrong(position, text, f"values are {position.least} to {position.most}")
    return int(text)


def _weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _nearest_weekday(year: int, month: int, day: int, length: int) -> int:
    """The day of this month to use, or one outside it when the month has none.

    A day beyond the month's end is first counted on into the next month, as Quartz does: only a
    Saturday whose Friday is still in this month leads back into it.
    """
    weekday = (date(year, month, 1) + timedelta(days=day - 1)).isoweekday()
    if weekday == 6:
        return day + 2 if day == 1 else day - 1
    if weekday == 7:
        return day - 2 if day == length else day + 1
    return day


def _offset(wall: datetime, zone: tzinfo) -> timedelta:
    offset = wall.replace(tzinfo=zone).utcoffset()
    assert offset is not None
    return offset


def _to_utc(wall: datetime, zone: tzinfo) -> datetime | None:
    """The later moment at which clocks in ``zone`` show ``wall``; None when none does."""
    moment = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None) == wall else None


# java.time.ZoneId.SHORT_IDS: the three-letter ids that Java keeps from its first days.
_JAVA_ZONES = {
    "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney",
    "AGT": "America/Argentina/Buenos_Aires",
    "ART": "Africa/Cairo",
    "AST": "America/Anchorage",
    "BET": "America/Sao_Paulo",
    "BST": "Asia/Dhaka",
    "CAT": "Africa/Harare",
    "CNT": "America/St_Johns",
    "CST": "America/Chicago",
    "CTT": "Asia/Shanghai",
    "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris",
    "IET": "America/Indiana/Indianapolis",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia",
    "NET": "Asia/Yerevan",
    "NST": "Pacific/Auckland",
    "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix",
    "PRT": "America/Puerto_Rico",
    "PST": "America/Los_Angeles",
    "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh",
}
_JAVA_OFFSETS = {"EST": -5, "MST": -7, "HST": -10}
_GMT_OFFSET = re.compile(
    r"GMT(?P<sign>[+-])(?P<hours>[0-9]{1,2})(?::?(?P<minutes>[0-9]{2}))?", re.ASCII
)


def resolve_timezone(id: str) -> tzinfo:
    """The time zone of an IANA name, a Java three-letter id, or ``GMT±h[:mm]``; exact case.

    Raises InvalidValue for field ``timezone`` when there is none of that name. Source: Databricks
    contract 5.
    """
    if id in _JAVA_OFFSETS:
        return timezone(timedelta(hours=_JAVA_OFFSETS[id]), id)
    match = _GMT_OFFSET.fullmatch(id)
    if match is not None and int(match["hours"]) <= 23 and int(match["minutes"] or 0) <= 59:
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
        return timezone(-offset if match["sign"] == "-" else offset, id)
    name = _JAVA_ZONES.get(id, id)
    # Only names of the public list ever reach the file system: paths, and files that merely lie
    # beside the zones ("localtime", "posixrules"), are no zones.
    if name not in _iana_names():
        raise InvalidValue("timezone", f"there is no time zone {id[:100]!r}.")
    return ZoneInfo(name)


@cache
def _iana_names() -> frozenset[str]:
    names = (files("tzdata") / "zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}  # "Factory" says that nobody has set a zone


def _invalid(message: str) -> InvalidValue:
    return InvalidValue("cron", message)


def _wrong(position: _Position, text: str, message: str) -> InvalidValue:
    return _invalid(f"{position.name} {text[:100]!r}: {message}.")
