"""``make bench``: measures, and prints one table with targets.

The exit code tells whether the measuring worked, not whether the targets were met: a busy machine
misses them without anything being broken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench import measures
from bench.measures import Row, Sizes
from bench.peers import Peers
from bench.server import ServerProcess, running_server
from bench.spark import measure_spark
from quire import __version__

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = ("idle", "latency", "throughput", "cells", "kernel", "stream", "polling", "spark")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Quire against its peers.")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--only", help=f"some of: {','.join(MEASUREMENTS)}")
    parser.add_argument("--work-dir", type=Path, help="where data goes (a temporary folder)")
    arguments = parser.parse_args()
    chosen = tuple(arguments.only.split(",")) if arguments.only else MEASUREMENTS
    unknown = [name for name in chosen if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"unknown measurement: {', '.join(unknown)}")
    sizes = measures.QUICK if arguments.quick else Sizes()
    with tempfile.TemporaryDirectory(prefix="quire-bench-", dir=arguments.work_dir) as folder:
        # Kernels may run as another user, who has to reach the server's folders.
        Path(folder).chmod(0o755)
        rows = run(Path(folder), chosen, sizes)
    print()
    print(
        f"Quire {__version__}, Python {platform.python_version()},"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(render(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


def run(folder: Path, chosen: tuple[str, ...], sizes: Sizes) -> list[Row]:
    peers = Peers(ROOT, folder)
    say("preparing papermill's environment")
    peers.install()
    rows: list[Row] = []
    on_server: dict[str, Callable[[ServerProcess], list[Row]]] = {
        "idle": measures.measure_idle,
        "latency": lambda server: measures.measure_latency(server, peers, sizes),
        "throughput": lambda server: measures.measure_throughput(server, peers, sizes),
        "cells": lambda server: measures.measure_cells(server, peers, sizes),
        "kernel": measures.measure_kernel_memory,
        "stream": lambda server: measures.measure_stream(server, sizes),
    }
    with running_server(folder / "data") as server:
        for name, measure in on_server.items():
            if name in chosen:
                say(f"measuring {name}")
                rows += told(measure(server))
    if "polling" in chosen:
        say(f"storing {sizes.poll_stored[1]:,} runs, then measuring polling")
        rows += told(measures.measure_polling(folder, sizes))
    if "spark" in chosen:
        say("measuring Spark")
        rows += told(measure_spark(folder, sizes))
    return rows


def told(rows: list[Row]) -> list[Row]:
    """Say at once what came out, in case a later measurement breaks."""
    for row in rows:
        say("  " + "  ".join(part for part in (row.what, row.quire, row.peer, row.ratio) if part))
    return rows


def render(rows: list[Row]) -> str:
    titles = ("what", "Quire", "peer", "ratio", "target", "")
    lines = [titles] + [
        (
            row.what,
            row.quire,
            row.peer,
            row.ratio,
            row.target,
            {True: "pass", False: "FAIL", None: ""}[row.passed],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    text = [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
