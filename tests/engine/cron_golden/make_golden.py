"""Makes golden.json: what the real Quartz says about random expressions, zones and moments.

    QUARTZ_CLASSPATH=quartz2.jar:slf4j-api.jar:slf4j-nop.jar python make_golden.py

Needs a JDK, and the jars of Debian's libquartz2-java and libslf4j-java (``apt-get download`` and
``dpkg -x`` are enough). Left out are zones whose governments change their clocks at short notice,
and the cases in which the answer of Quartz depends on where it was asked from rather than on the
expression: starts within the first pass of an hour that comes twice, ``29W`` and ``30W`` in a
February that is shorter, and gaps that do not end with the hour.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

HERE = Path(__file__).parent
ROWS = 3000
FIRES = 4
SEED = 20261120

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
CHANGING_ZONES = (
    "America/Los_Angeles",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "America/St_Johns",
    "America/Havana",
)
STEADY_ZONES = ("Asia/Kolkata", "Asia/Tehran", "Pacific/Apia", "UTC", "GMT")
JAVA_ZONES = (
    "ACT",
    "AET",
    "AGT",
    "AST",
    "BET",
    "BST",
    "CAT",
    "CNT",
    "CST",
    "CTT",
    "EAT",
    "ECT",
    "IET",
    "IST",
    "JST",
    "MIT",
    "NET",
    "NST",
    "PLT",
    "PNT",
    "PRT",
    "PST",
    "SST",
    "VST",
    "EST",
    "MST",
    "HST",
    "GMT+5:30",
    "GMT-11",
    "GMT+0845",
    "GMT+5",
    "GMT-0",
)


def element(pick: random.Random, least: int, most: int, step: int, names: tuple[str, ...]) -> str:
    def value() -> int:
        return pick.randint(least, most)

    forms = [
        lambda: str(value()),
        lambda: str(value()),
        lambda: f"{value()}-{value()}",
        lambda: f"{value()}/{pick.randint(1, step)}",
        lambda: f"*/{pick.randint(1, step)}",
        lambda: f"/{pick.randint(1, step)}",
        lambda: f"{value()}-{value()}/{pick.randint(1, step)}",
    ]
    if names:
        forms += [lambda: pick.choice(names), lambda: f"{pick.choice(names)}-{pick.choice(names)}"]
    return pick.choice(forms)()


def field(
    pick: random.Random, least: int, most: int, step: int, names: tuple[str, ...] = ()
) -> str:
    count = pick.choice((1, 1, 1, 2, 3))
    text = ",".join(element(pick, least, most, step, names) for _ in range(count))
    return text.lower() if pick.random() < 0.1 else text


def day_of_month(pick: random.Random) -> str:
    return pick.choice(
        (
            "*",
            "L",
            "LW",
            f"L-{pick.randint(0, 27)}",
            f"L-{pick.randint(0, 27)}W",
            f"{pick.randint(1, 31)}W",
            f"{pick.randint(1, 31)}W",
            f"{pick.randint(1, 28)}W,{pick.randint(1, 28)}",
            field(pick, 1, 31, 31),
            field(pick, 1, 31, 31),
            field(pick, 1, 31, 31),
        )
    )


def day_of_week(pick: random.Random) -> str:
    day = pick.choice((*WEEKDAYS, *"1234567"))
    return pick.choice(
        (
            "*",
            "L",
            f"{day}L",
            f"{day}#{pick.randint(1, 5)}",
            f"{pick.randint(1, 7)}#{pick.randint(1, 5)},{pick.randint(1, 7)}",
            field(pick, 1, 7, 7, WEEKDAYS),
            field(pick, 1, 7, 7, WEEKDAYS),
            field(pick, 1, 7, 7, WEEKDAYS),
        )
    )


def expression(pick: random.Random) -> str:
    by_month = pick.random() < 0.5
    fields = [
        pick.choice(("0", "0", "0", "30", field(pick, 0, 59, 59))),
        pick.choice(("0", "30", "0/30", "0,15,45", field(pick, 0, 59, 59))),
        pick.choice(("0", "1", "2", "3", "1-3", "*", "0/6", "22-2", field(pick, 0, 23, 23))),
        day_of_month(pick) if by_month else "?",
        pick.choice(("*", "*", "*", field(pick, 1, 12, 12, MONTHS))),
        "?" if by_month else day_of_week(pick),
    ]
    year = pick.choice(("", "", "", "*", "2027", "2026-2030", "2026/2", "2028,2030", "2024-2032/3"))
    return " ".join([*fields, year] if year else fields)


def changes(zone: ZoneInfo) -> list[int]:
    """When the clocks of a zone change, from 2026 to 2029, to six hours."""
    found = []
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    offset = moment.astimezone(zone).utcoffset()
    while moment.year < 2030:
        moment += timedelta(hours=6)
        if moment.astimezone(zone).utcoffset() != offset:
            offset = moment.astimezone(zone).utcoffset()
            found.append(int(moment.timestamp()))
    return found


def questions(pick: random.Random) -> list[tuple[str, str, int]]:
    starts = {name: changes(ZoneInfo(name)) for name in CHANGING_ZONES}
    first = int(datetime(2025, 6, 1, tzinfo=UTC).timestamp())
    asked = []
    while len(asked) < ROWS:
        text = expression(pick)
        if pick.random() < 0.6:
            name = pick.choice(CHANGING_ZONES)
            start = pick.choice(starts[name]) + pick.randint(-4 * 86400, 2 * 86400)
            local = datetime.fromtimestamp(start, ZoneInfo(name))
            if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
                continue
        else:
            name = pick.choice((*STEADY_ZONES, *JAVA_ZONES))
            start = first + pick.randint(0, 8 * 365 * 86400)
        if any(day in text for day in ("29W", "30W")):
            continue
        asked.append((text, name, start))
    return asked


def ask(asked: list[tuple[str, str, int]]) -> list[str]:
    jars = os.environ["QUARTZ_CLASSPATH"]
    with tempfile.TemporaryDirectory() as build:
        subprocess.run(["javac", "-cp", jars, "-d", build, str(HERE / "Oracle.java")], check=True)
        lines = "".join(f"{text}\t{zone}\t{start}\t{FIRES}\n" for text, zone, start in asked)
        done = subprocess.run(
            ["java", "-Duser.timezone=UTC", "-cp", f"{jars}{os.pathsep}{build}", "Oracle"],
            input=lines,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return done.stdout.splitlines()


def main() -> None:
    asked = questions(random.Random(SEED))
    rows = []
    for (text, zone, start), answer in zip(asked, ask(asked), strict=True):
        times = [None if each == "never" else int(each) for each in answer.split()]
        rows.append(json.dumps([text, zone, start, times], separators=(",", ":")))
    (HERE / "golden.json").write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
