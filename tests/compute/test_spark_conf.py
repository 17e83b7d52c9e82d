"""Spark's configuration: what users may set, what we set, and how it is written."""

from __future__ import annotations

import base64
import hmac
import json
import os
import sys
from pathlib import Path

import pytest

from quire.compute.driver_config import DriverConfig
from quire.compute.driver_folder import DriverFolder
from quire.compute.spark_conf import (
    cluster_environment,
    daemon_conf,
    driver_conf,
    expand_environment,
    page_token,
    properties,
    write_configuration,
)

_FOLDER = DriverFolder(Path("/f"))


def _config(**options: object) -> DriverConfig:
    return DriverConfig(
        name="n",
        java_home="/j",
        spark_home="/s",
        python=sys.executable,
        **options,  # type: ignore[arg-type]
    )


def test_users_set_all_but_what_is_ours() -> None:
    config = _config(
        spark_conf={
            "spark.sql.shuffle.partitions": "7",
            "spark.scheduler.mode": "FIFO",
            "spark.driver.memory": "3g",
            "spark.driver.defaultJavaOptions": "-Dmine=1",
            "spark.driver.extraJavaOptions": "-Dmore=1",
            "spark.jars": "/theirs.jar",
            "spark.master": "local[99]",
            "spark.submit.deployMode": "cluster",
            "spark.driver.host": "elsewhere",
            "spark.driver.port": "1",
            "spark.ui.port": "4040",
        },
        jars=("/ours.jar",),
    )
    conf = driver_conf(config, _FOLDER, "local[2]", None)
    assert conf["spark.sql.shuffle.partitions"] == "7"
    assert conf["spark.scheduler.mode"] == "FIFO"
    assert conf["spark.driver.memory"] == "3g"
    assert conf["spark.driver.defaultJavaOptions"].endswith(" -Dmine=1")
    assert conf["spark.driver.extraJavaOptions"] == "-Dmore=1"
    assert conf["spark.jars"] == "/ours.jar,/theirs.jar"
    assert conf["spark.master"] == "local[2]"
    assert conf["spark.submit.deployMode"] == "client"
    assert conf["spark.driver.host"] == "127.0.0.1"
    assert "spark.driver.port" not in conf
    assert conf["spark.ui.port"] == "0"
    assert conf["spark.authenticate"] == "true"


def test_an_external_master_reaches_the_driver() -> None:
    config = _config(master="spark://far:7077", driver_host="near")
    conf = driver_conf(config, _FOLDER, "spark://far:7077", None)
    assert conf["spark.driver.host"] == "near"
    assert "spark.driver.bindAddress" not in conf
    assert "spark.authenticate" not in conf
    assert "spark.executor.defaultJavaOptions" not in conf
    environment = cluster_environment({}, config, _FOLDER)
    assert "SPARK_LOCAL_IP" not in environment


def test_parts_of_a_standalone_cluster_share_a_secret() -> None:
    config = _config(workers=2, worker_cores=3)
    secret = "ab" * 32
    conf = driver_conf(config, _FOLDER, "spark://x:1", secret)
    daemons = daemon_conf(secret)
    assert conf["spark.authenticate.secret"] == daemons["spark.authenticate.secret"] == secret
    assert conf["spark.executor.cores"] == "3"
    header, payload, signature = page_token(secret).split(".")
    made = hmac.digest(bytes.fromhex(secret), f"{header}.{payload}".encode(), "sha256")
    assert base64.urlsafe_b64encode(made).rstrip(b"=").decode() == signature
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256"}


def test_variables_refer_to_others_as_in_a_shell() -> None:
    result = expand_environment(
        {"A": "1", "JAVA_HOME": "/j", "PYSPARK_PYTHON": sys.executable},
        {
            "B": "$A-${A}x$C",
            "C": "$B",
            "A": "$A:2",
            "JAVA_HOME": "/other",
            "PYSPARK_PYTHON": "/no/such/python",
            "PRICE": "5$",
        },
    )
    assert result == {
        "A": "1:2",
        "B": "1-1x",
        "C": "1-1x",
        "JAVA_HOME": "/j",
        "PYSPARK_PYTHON": sys.executable,
        "PRICE": "5$",
    }


def test_a_cluster_knows_nothing_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIRE_DATABASE_URL", "postgresql://secret")
    environment = cluster_environment({"LANG": "C.UTF-8"}, _config(), _FOLDER)
    assert "QUIRE_DATABASE_URL" not in environment
    assert environment["LANG"] == "C.UTF-8"
    assert environment["HOME"] == "/f/work"


def test_properties_are_written_as_java_reads_them() -> None:
    text = properties({"a": "b", "odd key:x": "  two\nlines\\ = #é", "empty": ""})
    assert text == "a=b\nodd\\ key\\:x=\\  two\\nlines\\\\ = #é\nempty=\n"


def test_what_the_servers_user_has_configured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    (theirs / "hive-site.xml").write_text("<configuration/>")
    (theirs / "spark-defaults.conf").write_text("spark.x 1\nspark.master yarn")
    (theirs / "log4j2.properties").write_text("loud")
    monkeypatch.setenv("SPARK_CONF_DIR", str(theirs))
    for _ in range(2):
        write_configuration(ours, {"spark.master": "local[1]"}, None)
    assert (ours / "hive-site.xml").read_text() == "<configuration/>"
    defaults = (ours / "spark-defaults.conf").read_text()
    assert defaults == "spark.x 1\nspark.master yarn\nspark.master=local[1]\n"
    assert "loud" not in (ours / "log4j2.properties").read_text()
    assert os.stat(ours / "spark-defaults.conf").st_mode & 0o077 == 0
