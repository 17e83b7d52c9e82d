"""The measurements. Each gives rows of the table that ``bench.main`` prints."""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from bench import notebooks
from bench.history import History, fill
from bench.memory import family, pss_bytes, rss_bytes
from bench.peers import Peers
from bench.server import Client, ServerProcess, running_server
from quire.store.database import Database
from quire.store.tables import attempts

__all__ = [
    "Row",
    "Sizes",
    "measure_cells",
    "measure_idle",
    "measure_kernel_memory",
    "measure_latency",
    "measure_polling",
    "measure_stream",
    "measure_throughput",
    "processes_of",
]

_MIB = 1024 * 1024
_POLLERS = 8
_PAUSE_SECONDS = 0.15  # between runs whose latency is measured


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    latency_runs: int = 200
    latency_peer_runs: int = 7
    throughput_runs: int = 200
    throughput_peer_runs: int = 12
    cells: int = 500
    cell_rounds: int = 3
    poll_stored: tuple[int, int] = (1_000, 1_000_000)
    poll_rounds: int = 6
    poll_seconds: float = 5.0
    poll_per_second: int = 200
    stream_megabytes: int = 100
    spark_runs: int = 30
    spark_peer_runs: int = 3


QUICK = Sizes(
    latency_runs=30,
    latency_peer_runs=3,
    throughput_runs=40,
    throughput_peer_runs=4,
    cells=100,
    cell_rounds=1,
    poll_stored=(1_000, 20_000),
    poll_rounds=2,
    poll_seconds=2.0,
    stream_megabytes=20,
    spark_runs=8,
    spark_peer_runs=1,
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    quire: str
    peer: str
    ratio: str
    target: str
    passed: bool | None  # None: for information


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of them lie, nearest rank."""
    ordered = sorted(values)
    rank = max(0, -(-len(ordered) * percent // 100) - 1)
    return ordered[int(rank)]


def measure_idle(server: ServerProcess) -> list[Row]:
    """A warm server with its nursery and its pool, without work."""
    client = server.client()
    client.wait(client.submit(client.store("one_cell", notebooks.one_cell())))
    _settle(server)
    pids = family(server.pid, server.data_dir)
    rss, pss = rss_bytes(pids) / _MIB, pss_bytes(pids) / _MIB
    return [
        Row(
            f"idle server, {len(pids)} processes, RSS of all",
            f"{rss:.0f} MB",
            "",
            "",
            "≤ 250 MB",
            rss <= 250,
        ),
        Row("the same, PSS of all", f"{pss:.0f} MB", "", "", "", None),
    ]


def _latencies(
    client: Client, path: str, runs: int, *, pause_seconds: float
) -> tuple[list[float], list[float]]:
    """Seconds from submit to seen terminated, and the same by the runs' own times."""
    seen: list[float] = []
    stamped: list[float] = []
    for _ in range(runs):
        time.sleep(pause_seconds)
        began = time.perf_counter()
        run = client.wait(client.submit(path))
        seen.append(time.perf_counter() - began)
        stamped.append((run["end_time"] - run["start_time"]) / 1000)
    return seen, stamped


def measure_latency(server: ServerProcess, peers: Peers, sizes: Sizes) -> list[Row]:
    """Submit to terminated of a one-cell notebook, one run after the other.

    Between runs the server has a moment to make its next kernel ready, as it has between a person's
    or a schedule's runs; a last row shows runs without that moment.
    """
    client = server.client()
    path = client.store("one_cell", notebooks.one_cell())
    for _ in range(5):
        client.wait(client.submit(path))
    seen, stamped = _latencies(client, path, sizes.latency_runs, pause_seconds=_PAUSE_SECONDS)
    at_once, _ = _latencies(client, path, sizes.latency_runs, pause_seconds=0.0)
    peer = [peers.run_papermill(notebooks.one_cell()) for _ in range(sizes.latency_peer_runs)]
    p50, p99, peer_p50 = statistics.median(seen), percentile(seen, 99), statistics.median(peer)
    return [
        Row(
            "submit → terminated, one cell, p50",
            _ms(p50),
            f"papermill {_ms(peer_p50)}",
            f"{peer_p50 / p50:.1f} ×",
            "≥ 25 ×",
            peer_p50 / p50 >= 25,
        ),
        Row("  its absolute target", _ms(p50), "", "", "≤ 80 ms (quiet machine)", p50 <= 0.080),
        Row(
            f"the same, p99 of {len(seen)}",
            _ms(p99),
            "",
            f"{p99 / p50:.2f} × p50",
            "≤ 4 × p50",
            p99 <= 4 * p50,
        ),
        Row(
            "  by the run's own times, p50 / p99",
            f"{_ms(statistics.median(stamped))} / {_ms(percentile(stamped, 99))}",
            "",
            "",
            "",
            None,
        ),
        Row(
            "  without a pause between runs, p50 / p99",
            f"{_ms(statistics.median(at_once))} / {_ms(percentile(at_once, 99))}",
            "",
            f"{peer_p50 / statistics.median(at_once):.1f} ×",
            "",
            None,
        ),
    ]


def measure_throughput(server: ServerProcess, peers: Peers, sizes: Sizes) -> list[Row]:
    """Many one-cell runs submitted at once."""
    client = server.client()
    path = client.store("one_cell", notebooks.one_cell())
    local = threading.local()

    def submit(_: int) -> int:
        if not hasattr(local, "client"):
            local.client = server.client()
        return int(local.client.submit(path))

    began = time.time()
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(submit, range(sizes.throughput_runs)))
    submitted = time.time() - began
    ended = max(client.wait(run_id, 0.02)["end_time"] for run_id in ids) / 1000
    rate = len(ids) / (ended - began)
    peer = peers.run_papermill_in_pairs(notebooks.one_cell(), sizes.throughput_peer_runs)
    return [
        Row(
            f"{len(ids)} one-cell runs at once",
            f"{rate:.1f} runs/s",
            f"papermill × 2: {peer:.2f} runs/s",
            f"{rate / peer:.1f} ×",
            "≥ 12 ×",
            rate / peer >= 12,
        ),
        Row("  time to accept them all", _ms(submitted), "", "", "", None),
    ]


def measure_cells(server: ServerProcess, peers: Peers, sizes: Sizes) -> list[Row]:
    """Time a cell, kernel start left out on both sides; rounds take turns."""
    client = server.client()
    notebook = notebooks.many_cells(sizes.cells)
    path = client.store("many_cells", notebook)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(sizes.cell_rounds):
        run = client.wait(client.submit(path), 0.05)
        ours.append(run["execution_duration"] / 1000 / sizes.cells)
        theirs.append(peers.run_nbclient(notebook) / sizes.cells)
    mine, peer = statistics.median(ours), statistics.median(theirs)
    return [
        Row(
            f"time a cell, {sizes.cells} cells",
            f"{mine * 1000:.2f} ms",
            f"nbclient {peer * 1000:.2f} ms",
            f"{mine / peer:.2f} ×",
            "≤ 1.0 ×",
            mine <= peer,
        )
    ]


def measure_kernel_memory(server: ServerProcess) -> list[Row]:
    """Kernel and runner of runs that are under way."""
    client = server.client()
    path = client.store("sleeps", notebooks.sleeps(600))
    ids = [client.submit(path) for _ in range(2)]
    try:
        for run_id in ids:
            while client.get("jobs/runs/get", run_id=run_id)["state"]["life_cycle_state"] != (
                "RUNNING"
            ):
                time.sleep(0.02)
        _settle(server)
        pairs = list(processes_of(server.data_dir, ids))
        runner = statistics.mean(pss_bytes([pair[0]]) for pair in pairs) / _MIB
        kernel = statistics.mean(pss_bytes([pair[1]]) for pair in pairs) / _MIB
    finally:
        for run_id in ids:
            client.post("jobs/runs/cancel", run_id=run_id)
    return [
        Row(
            "memory of a running kernel + runner, PSS",
            f"{kernel:.0f} + {runner:.0f} MB",
            "",
            "",
            "≤ 60 MB",
            kernel + runner <= 60,
        )
    ]


def measure_polling(work_dir: Path, sizes: Sizes) -> list[Row]:
    """Status of one run, asked at a steady rate, with few and with many runs stored.

    Two servers take turns round by round, so that whatever else the machine does meets both.
    """
    servers: list[tuple[ServerProcess, History]] = []
    try:
        for stored in sizes.poll_stored:
            data_dir = work_dir / f"stored-{stored}"
            with running_server(data_dir) as server:
                client = server.client()
                client.wait(client.submit(client.store("one_cell", notebooks.one_cell())))
            history = fill(data_dir, stored)
            server = ServerProcess(data_dir, {"QUIRE_RETENTION_DAYS": "36500"})
            servers.append((server, history))
            server.wait_until_ready()
        os.sync()  # what was stored goes to the disk now, and not while it is asked for
        rounds: list[list[list[float]]] = [[], []]
        for _ in range(sizes.poll_rounds + 1):
            for index, (server, history) in enumerate(servers):
                rounds[index].append(_poll(server, history, sizes))
    finally:
        for server, _ in servers:
            server.stop()
    p50s, p99s = [], []
    for taken in rounds:
        kept = taken[1:]  # the first round warms up
        p50s.append(statistics.median(statistics.median(each) for each in kept))
        p99s.append(statistics.median(percentile(each, 99) for each in kept))
    few, many = sizes.poll_stored
    rate = f"{sizes.poll_per_second}/s"
    return [
        Row(
            f"status poll at {rate}, {few:,} runs stored",
            f"p50 {_ms(p50s[0])}, p99 {_ms(p99s[0])}",
            "",
            "",
            "",
            None,
        ),
        Row(
            f"status poll at {rate}, {many:,} runs stored",
            f"p50 {_ms(p50s[1])}, p99 {_ms(p99s[1])}",
            "",
            f"{p99s[1] / p99s[0]:.2f} × at p99",
            "≤ 1.3 ×, p99 ≤ 10 ms",
            p99s[1] / p99s[0] <= 1.3 and p99s[1] <= 0.010,
        ),
    ]


def measure_stream(server: ServerProcess, sizes: Sizes) -> list[Row]:
    """A run that prints a lot: what the server's memory does, and whether all of it arrives."""
    client = server.client()
    path = client.store("prints", notebooks.prints(sizes.stream_megabytes, 5))
    _settle(server)
    before = rss_bytes([server.pid])
    highest = before
    run_id = client.submit(path)
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.02):
            highest = max(highest, rss_bytes([server.pid]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run = client.wait(run_id, 0.1)
    finally:
        done.set()
        watcher.join()
    growth = (highest - before) / _MIB
    length = len(client.page(f"/runs/{run_id}/log"))
    expected = sizes.stream_megabytes * 1_000_000
    return [
        Row(
            f"{sizes.stream_megabytes} MB of output: growth of the server's RSS",
            f"{growth:.0f} MB",
            "",
            "",
            "< 50 MB",
            growth < 50,
        ),
        Row(
            "  bytes of its log",
            f"{length:,} in {run['execution_duration'] / 1000:.1f} s",
            "",
            "",
            f"{expected:,}",
            length == expected,
        ),
    ]


def _poll(server: ServerProcess, history: History, sizes: Sizes) -> list[float]:
    """Seconds each answer took, counted from when its request was due."""
    interval = _POLLERS / sizes.poll_per_second
    start = time.perf_counter() + 0.1
    end = start + sizes.poll_seconds

    def ask(worker: int) -> list[float]:
        client, chance = server.client(), random.Random(worker)
        taken: list[float] = []
        due = start + interval * worker / _POLLERS
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            run_id = history.first_id + chance.randrange(history.count)
            client.get_raw("jobs/runs/get", run_id=run_id)
            taken.append(time.perf_counter() - due)
            due += interval
        return taken

    with ThreadPoolExecutor(_POLLERS) as pool:
        return [each for taken in pool.map(ask, range(_POLLERS)) for each in taken]


def processes_of(data_dir: Path, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runner and kernel of runs that are under way."""
    database = Database(f"sqlite:///{data_dir / 'quire.db'}")
    try:
        with database.read() as connection:
            for row in connection.execute(
                select(attempts.c.runner_pid, attempts.c.kernel_pid).where(attempts.c.id.in_(ids))
            ):
                yield row.runner_pid, row.kernel_pid
    finally:
        database.close()


def _settle(server: ServerProcess) -> None:
    """Wait until the server's processes are all there: none came or went for a second."""
    known, since = family(server.pid, server.data_dir), time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.1)
        present = family(server.pid, server.data_dir)
        if present != known:
            known, since = present, time.monotonic()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
