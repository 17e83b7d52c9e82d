"""The notebooks that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["SPARK_JOB", "many_cells", "one_cell", "one_job", "prints", "sleeps"]

SPARK_JOB = "print(spark.range(1000).selectExpr('sum(id) as total').first().total)\n"


def _notebook(sources: Sequence[str]) -> dict[str, Any]:
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{index}",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for index, source in enumerate(sources)
        ],
    }


def one_cell() -> dict[str, Any]:
    return _notebook(["print(1 + 1)"])


def one_job(then_sleep: int = 0) -> dict[str, Any]:
    """One Spark job."""
    rest = f"import time\ntime.sleep({then_sleep})" if then_sleep else ""
    return _notebook([SPARK_JOB + rest])


def many_cells(count: int) -> dict[str, Any]:
    return _notebook([f"value = {index}\nprint(value)" for index in range(count)])


def sleeps(seconds: int) -> dict[str, Any]:
    return _notebook([f"import time\nprint('up')\ntime.sleep({seconds})"])


def prints(megabytes: int, per_cell: int) -> dict[str, Any]:
    """Lines of 1,000 bytes, in cells that each stay below a cell's limit."""
    line = "'x' * 999"
    source = f"for _ in range({per_cell * 1000}):\n    print({line})"
    return _notebook([source] * (megabytes // per_cell))
