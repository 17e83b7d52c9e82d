"""Where pyspark would start or stop a driver of its own, it uses the one the run is given.

Owns: every private name of pyspark this package relies on (``tests/quire_runtime/spark`` holds a
test for each). The changes are made when pyspark's modules are imported, so that a notebook pays
nothing until then, and so that ``SparkSession.builder.getOrCreate()`` gives the run's session
wherever it is called.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from quire_runtime.spark import sharing
from quire_runtime.spark.attachment import Attachment

__all__ = ["install"]

LIBRARIES = ("/site-packages/", "/dist-packages/", "/pyspark/")


def install(attachment: Attachment) -> None:
    """Change pyspark as soon as it is imported, or now when it has been."""
    patches: dict[str, Callable[[ModuleType], None]] = {
        "pyspark.java_gateway": functools.partial(_patch_gateway, attachment),
        "pyspark.core.broadcast": _patch_broadcast,
        "pyspark.core.files": functools.partial(_patch_files, attachment),
        "pyspark.core.context": functools.partial(_patch_context, attachment),
        "pyspark.sql.session": functools.partial(_patch_session, attachment),
    }
    attachment.on_detach.append(_forget_context)
    for name, patch in patches.items():
        module = sys.modules.get(name)
        if module is not None:
            patch(module)
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _Finder)]
    sys.meta_path.insert(0, _Finder(patches))


class _Finder:
    """Finds the modules to change as others would, and has them changed when they are loaded."""

    def __init__(self, patches: dict[str, Callable[[ModuleType], None]]) -> None:
        self._patches = patches

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        patch = self._patches.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                patch(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _patch_gateway(attachment: Attachment, module: Any) -> None:
    base = getattr(module.ClientServer, "_quire_base", module.ClientServer)
    module.ClientServer = attachment.gateway_class(base)
    module.ClientServer._quire_base = base


def _patch_broadcast(module: Any) -> None:
    module.NamedTemporaryFile = sharing.temporary_file


def _patch_files(attachment: Attachment, module: Any) -> None:
    files = module.SparkFiles
    get = _original(files, "get")

    def get_readable(cls: Any, filename: str) -> str:
        """Where a file is that was added: the driver's copy, or the notebook's own."""
        path: str = get.__get__(None, cls)(filename)
        own = attachment.added_files.get(filename)
        if own is not None and not cls._is_running_on_worker and not os.access(path, os.R_OK):
            return own
        return path

    _replace(files, "get", classmethod(get_readable), get)


def _patch_context(attachment: Attachment, module: Any) -> None:
    context = module.SparkContext
    launch = _original(module, "launch_gateway")
    begin = _original(context, "_do_init")
    add = _original(context, "addFile")

    def launch_gateway(conf: Any = None, popen_kwargs: Any = None) -> Any:
        """Connect to the driver of the run."""
        __tracebackhide__ = True
        return attachment.connect(lambda: launch(conf))

    def _do_init(
        self: Any,
        master: Any,
        appName: Any,
        sparkHome: Any,
        pyFiles: Any,
        environment: Any,
        batchSize: int,
        serializer: Any,
        conf: Any,
        jsc: Any,
        *more: Any,
    ) -> None:
        """Be a view of the driver's context, whatever master and settings are asked for."""
        if jsc is None:
            jsc = attachment.java_context()
        conf = module.SparkConf(_jconf=jsc.getConf())
        begin(self, None, None, None, pyFiles, environment, batchSize, serializer, conf, jsc, *more)
        if attachment.exchange is not None:
            self._temp_dir = attachment.exchange
        # What executors run finds the packages that the notebook finds.
        path = attachment.python_path()
        if path:
            self.environment["PYTHONPATH"] = path
        attachment.watch_interrupts()  # pyspark's own would end the jobs of everybody

    def stop(self: Any) -> None:
        """Let go of the driver, which others use."""
        if getattr(self, "_jsc", None) is None:
            return
        attachment.cancel()
        self._jsc = None
        _end_context(self)
        with context._lock:
            if context._active_spark_context is self:
                context._active_spark_context = None

    def addFile(self: Any, path: str, recursive: bool = False) -> None:
        """Remember where the notebook has the file: it may not read the driver's copy."""
        local = os.path.abspath(path[len("file:") :] if path.startswith("file:") else path)
        if not os.path.exists(local):
            add(self, path, recursive)
            return
        add(self, local, recursive)
        attachment.added_files[os.path.basename(local)] = local
        if local.endswith(tuple(context.PACKAGE_EXTENSIONS)):
            sys.path.insert(1, local)
        elif local.endswith(".py"):
            sys.path.append(os.path.dirname(local))

    _replace(context, "addFile", addFile, add)
    module.NamedTemporaryFile = sharing.temporary_file
    _replace(module, "launch_gateway", launch_gateway, launch)
    _replace(context, "_do_init", _do_init, begin)
    _replace(context, "stop", stop, _original(context, "stop"))


def _patch_session(attachment: Attachment, module: Any) -> None:
    kind = module.SparkSession
    begin = _original(kind, "__init__")
    active = _original(kind, "getActiveSession")

    @functools.wraps(begin)
    def initialize(
        self: Any, sparkContext: Any, jsparkSession: Any = None, options: Any = None
    ) -> None:
        if jsparkSession is None:
            jsparkSession = attachment.java_session()
        begin(self, sparkContext, jsparkSession, options or {})
        if kind._instantiatedSession is None or kind._instantiatedSession._sc._jsc is None:
            # The driver's default session stays what it is: others have it as their default too.
            kind._instantiatedSession = kind._activeSession = self
            kind._get_j_spark_session_class(self._jvm).setActiveSession(jsparkSession)

    def getActiveSession(cls: Any) -> Any:
        """The run's session. A notebook has one from its start; a library is told what there is."""
        if kind._instantiatedSession is None and not attachment.is_remote:
            caller = sys._getframe(1).f_globals.get("__file__") or ""
            if not any(folder in caller for folder in LIBRARIES):
                return kind.builder.getOrCreate()
        return active.__get__(None, cls)()

    def stop(self: Any) -> None:
        """End this session; the driver goes on."""
        jvm = self._jvm
        self._sc.stop()
        _forget_session(kind)
        if attachment.attached:
            kind._get_j_spark_session_class(jvm).clearActiveSession()

    _replace(kind, "__init__", initialize, begin)
    _replace(kind, "getActiveSession", classmethod(getActiveSession), active)
    _replace(kind, "_should_update_active_session", staticmethod(_never), None)
    _replace(kind, "stop", stop, _original(kind, "stop"))


def _never() -> bool:
    return False


def _forget_session(kind: Any) -> None:
    kind._instantiatedSession = kind._activeSession = None
    context = sys.modules.get("pyspark.sql.context")
    if context is not None:
        context.SQLContext._instantiatedContext = None


def _forget_context() -> None:
    """Make pyspark look as if it had never met a driver."""
    module = sys.modules.get("pyspark.core.context")
    if module is None:
        return
    context = module.SparkContext
    present = context._active_spark_context
    context._active_spark_context = context._gateway = context._jvm = None
    if present is not None:
        present._jsc = None
        _end_context(present)
    session = sys.modules.get("pyspark.sql.session")
    if session is not None:
        _forget_session(session.SparkSession)


def _end_context(context: Any) -> None:
    server = getattr(context, "_accumulatorServer", None)
    if server is not None:
        server.shutdown()
        context._accumulatorServer = None


def _original(owner: Any, name: str) -> Any:
    """What ``owner`` had under a name before anything was changed."""
    value = vars(owner)[name]
    function = getattr(value, "__func__", value)
    return getattr(function, "_quire_original", value)


def _replace(owner: Any, name: str, value: Any, original: Any) -> None:
    function = getattr(value, "__func__", value)
    if original is not None:
        function._quire_original = original
    setattr(owner, name, value)
