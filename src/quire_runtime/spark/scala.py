"""Scala cells: the interpreter among Spark's own libraries, in the driver, on the run's session.

Owns: the interpreter of a run, which keeps its values from cell to cell; what a cell prints, shown
as it comes; what it defines, shown at its end; its errors, as errors of the cell.

Classes it compiles go where the driver serves them to executors (``spark.repl.class.outputDir``),
which all runs of a driver share; so each run numbers its lines from a start of its own.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from typing import Any

from quire_runtime.errors import ScalaError, UnsupportedFeature
from quire_runtime.exits import exit_notebook
from quire_runtime.session import Session
from quire_runtime.spark import scala_names
from quire_runtime.spark.scala_source import Part, parts_of

__all__ = ["Scala"]

OPTIONS = ("-Yrepl-class-based", "-Wconf:cat=deprecation:s", "-usejavacp")
LINES_OF_A_RUN = 10_000
RUNS_TOLD_APART = 200_000
SET_FIRST_LINE = "scala$tools$nsc$interpreter$Naming$$_freshLineId_$eq"
PREAMBLE = """\
@transient val sc = spark.sparkContext
@transient val sqlContext = spark.sqlContext
import org.apache.spark.SparkContext._
import spark.implicits._
import spark.sql
import org.apache.spark.sql.functions._"""
LOADER = ".MutableURLClassLoader"
INTERRUPTED_MILLISECONDS = 10_000
BLOCK_BYTES = 65536

_LINE = re.compile(r"^On line (\d+): error: (.*)$", re.MULTILINE)
_FIRST_LINE = re.compile(r"^\s*error: (.*)$", re.MULTILINE)


class Scala:
    """The interpreter of one run; made when its first Scala cell runs."""

    def __init__(self, shell: Any, session: Session, dbutils: Any, spark: Any) -> None:
        """``spark``: the run's session. Raises UnsupportedFeature when its driver has no REPL."""
        self._shell = shell
        self._session = session
        self._dbutils = dbutils
        self._jvm = spark._jvm
        self._java_session = spark._jsparkSession
        self._bridge: scala_names.Bridge | None = None
        self._interrupted: Any = None  # the thread of the driver that an interrupted cell ran on
        context = self._java_session.sparkContext()
        folder = context.conf().get("spark.repl.class.outputDir", "")
        if not folder:
            raise UnsupportedFeature(
                "Scala cells are not available on this cluster: its driver was started elsewhere, "
                "without a place for the classes they define (spark.repl.class.outputDir)."
            )
        self._loader = _shared_loader(self._jvm)
        # Loaded by whom executors within the driver ask first too, a class is the same for both.
        self._loader.addURL(self._jvm.java.io.File(folder).toURI().toURL())
        self._output = _Output(self._jvm)
        self._report = self._jvm.java.io.StringWriter()
        self._interpreter = self._make(folder)
        number = context.newShuffleId() % RUNS_TOLD_APART  # one that no other run gets
        getattr(self._interpreter.naming(), SET_FIRST_LINE)(number * LINES_OF_A_RUN)
        self._quietly(lambda: self._bind("spark", "org.apache.spark.sql.SparkSession", spark))
        self._interpret_quietly(PREAMBLE)

    def serve(self, session: Session, dbutils: Any) -> None:
        """Go on for another run of the same kernel."""
        self._session, self._dbutils = session, dbutils
        if self._bridge is not None:
            self._bridge.serve(dbutils)

    def run(self, code: str) -> None:
        """Run a cell. Raises ScalaError, NotebookExit, KeyboardInterrupt."""
        __tracebackhide__ = True
        self._await_interrupted()
        if self._bridge is None and scala_names.are_used_in(code):
            self._bridge = scala_names.Bridge(self._jvm, self._dbutils)
            self._quietly(lambda: self._bind(scala_names.BRIDGE, "java.util.Map[String, Object]"))
            self._interpret_quietly(scala_names.SOURCE)
        if self._bridge is not None:
            self._bridge.give()
        thread = self._jvm.java.lang.Thread.currentThread()
        thread.setContextClassLoader(self._interpreter.classLoader())
        try:
            with self._output.captured():
                for part in parts_of(code):
                    self._run_part(part)
        except KeyboardInterrupt:
            # What does not wait for Spark's jobs may at least wait for something.
            self._interrupted = thread
            threading.Thread(target=_interrupt, args=(thread,), daemon=True).start()
            raise
        finally:
            if self._bridge is not None:
                self._bridge.take(self._shell)

    def _await_interrupted(self) -> None:
        """An interrupted cell may still be in the compiler, which serves one at a time."""
        __tracebackhide__ = True
        if self._interrupted is None:
            return
        self._interrupted.join(INTERRUPTED_MILLISECONDS)
        if self._interrupted.isAlive():
            raise ScalaError(
                "The Scala cell that was interrupted still runs in the driver; "
                "the next one can run when it has ended."
            )
        self._interrupted = None
        self._take_report()  # what it said last is nobody's

    def _run_part(self, part: Part) -> None:
        __tracebackhide__ = True
        before = self._last_exception()
        result = self._interpreter.interpret(part.text).toString()
        said = self._take_report()
        if result == "Success":
            self._output.show(said)
            return
        if result == "Incomplete":
            raise ScalaError.named(
                "ScalaCompileError", "The cell ends in the middle of a statement.", []
            )
        error = self._last_exception()
        if error is not None and (before is None or not error.equals(before)):
            raise self._thrown(error, said)
        if said.strip():
            raise _not_compiled(said)

    def _thrown(self, error: Any, said: str) -> BaseException:
        value = scala_names.exit_value(error)
        if value is not None:
            try:
                exit_notebook(self._session, value)
            except BaseException as signal:  # noqa: BLE001 - raised by the caller, as it is
                return signal
        name = error.getClass().getName()
        return ScalaError.named(name, error.getMessage() or "", said.rstrip().splitlines())

    def _make(self, folder: str) -> Any:
        jvm = self._jvm
        settings = jvm.scala.tools.nsc.Settings()
        options = jvm.java.util.ArrayList()
        for option in (*OPTIONS, "-Yrepl-outdir", folder, "-classpath", self._class_path()):
            options.add(option)
        converters = jvm.scala.jdk.javaapi.CollectionConverters
        settings.processArguments(converters.asScala(options).toList(), True)
        shell = "scala.tools.nsc.interpreter.shell."
        config = getattr(getattr(jvm, shell + "ShellConfig$"), "MODULE$").apply(settings)
        writer = jvm.java.io.PrintWriter(self._report, True)
        self._reporter = getattr(jvm, shell + "ReplReporterImpl")(config, settings, writer)
        some = getattr(getattr(jvm, "scala.Option$"), "MODULE$").apply(self._loader)
        return jvm.scala.tools.nsc.interpreter.IMain(settings, some, settings, self._reporter)

    def _class_path(self) -> str:
        """The driver's own, and the libraries that were added to it since."""
        jvm = self._jvm
        path = [jvm.java.lang.System.getProperty("java.class.path")]
        return ":".join([*path, *(url.getPath() for url in self._loader.getURLs())])

    def _bind(self, name: str, kind: str, value: Any = None) -> None:
        jvm = self._jvm
        java = value._jsparkSession if value is not None else self._bridge.values  # type: ignore[union-attr]
        marks = jvm.java.util.ArrayList()
        marks.add("@transient")
        modifiers = jvm.scala.jdk.javaapi.CollectionConverters.asScala(marks).toList()
        self._interpreter.bind(name, kind, java, modifiers)

    def _quietly(self, work: Any) -> None:
        show = getattr(self._reporter, "printResults_$eq")
        show(False)
        try:
            work()
        finally:
            show(True)

    def _interpret_quietly(self, code: str) -> None:
        result: list[str] = []
        self._quietly(lambda: result.append(self._interpreter.interpret(code).toString()))
        said = self._take_report()
        if result != ["Success"]:
            raise UnsupportedFeature(f"The Scala interpreter could not be set up: {said}")

    def _take_report(self) -> str:
        text: str = self._report.toString()
        self._report.getBuffer().setLength(0)
        return text

    def _last_exception(self) -> Any:
        found = self._interpreter.valueOfTerm("lastException")
        return found.get() if found.isDefined() else None


class _Output:
    """What Scala code prints, by a connection of its own from the driver to here."""

    def __init__(self, jvm: Any) -> None:
        local = jvm.java.net.InetAddress.getLoopbackAddress()
        listener = jvm.java.net.ServerSocket(0, 1, local)
        try:
            self._socket = socket.create_connection(
                (local.getHostAddress(), listener.getLocalPort())
            )
            accepted = listener.accept()
            if accepted.getPort() != self._socket.getsockname()[1]:
                raise UnsupportedFeature("Another process took the connection for Scala's output.")
        finally:
            listener.close()
        self._stream = jvm.java.io.PrintStream(accepted.getOutputStream(), True, "UTF-8")
        self._console = getattr(getattr(jvm, "scala.Console$"), "MODULE$")
        self._system = jvm.java.lang.System
        self._end = f"\0{secrets.token_hex(8)}\0"
        self._left = b""

    def captured(self) -> _Capture:
        """While inside, what this thread of the driver prints appears in the cell."""
        return _Capture(self)

    def show(self, text: str) -> None:
        """Have a text appear after what has been printed so far."""
        if text:
            self._stream.print(text)

    def begin(self) -> threading.Thread:
        self._console.setOutDirect(self._stream)
        self._console.setErrDirect(self._stream)
        reader = threading.Thread(target=self._copy, daemon=True)
        reader.start()
        return reader

    def end(self, reader: threading.Thread) -> None:
        self._stream.print(self._end)
        reader.join()

    def _copy(self) -> None:
        import codecs
        import sys

        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        end = self._end.encode()
        data = self._left
        while True:
            at = data.find(end)
            if at >= 0:
                self._left = data[at + len(end) :]
                sys.stdout.write(decoder.decode(data[:at], final=True))
                break
            # What may be the beginning of the end is kept until it is known.
            keep = next((n for n in range(len(end) - 1, 0, -1) if data.endswith(end[:n])), 0)
            sys.stdout.write(decoder.decode(data[: len(data) - keep]))
            sys.stdout.flush()
            block = self._socket.recv(BLOCK_BYTES)
            if not block:
                break
            data = data[len(data) - keep :] + block
        sys.stdout.flush()


class _Capture:
    def __init__(self, output: _Output) -> None:
        self._output = output

    def __enter__(self) -> None:
        self._reader = self._output.begin()

    def __exit__(self, *error: object) -> None:
        self._output.end(self._reader)


def _shared_loader(jvm: Any) -> Any:
    """The class loader that Spark keeps added libraries in. Raises UnsupportedFeature."""
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    while loader is not None and not loader.getClass().getName().endswith(LOADER):
        loader = loader.getParent()
    if loader is None:
        raise UnsupportedFeature("Scala cells are not available on this cluster's driver.")
    return loader


def _not_compiled(said: str) -> ScalaError:
    """The error of a text the compiler refused; its first complaint stands for all."""
    first = _LINE.search(said)
    if first is not None:
        message = f"{first.group(2)} (line {first.group(1)})"
    else:
        only = _FIRST_LINE.search(said)
        message = f"{only.group(1)} (line 1)" if only else said.strip().partition("\n")[0]
    return ScalaError.named("ScalaCompileError", message, said.rstrip().splitlines())


def _interrupt(thread: Any) -> None:
    try:
        thread.interrupt()
    except Exception:  # noqa: BLE001 - the driver may be gone
        return
