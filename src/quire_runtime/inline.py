"""Runs another notebook inside this one: same names, same parameters, its own place in paths.

The other notebook comes from the server as nbformat 4. Its cells are transformed and compiled as
the kernel does with its own, under file names that say which notebook and cell a traceback means.
"""

from __future__ import annotations

import ast
import asyncio
import contextvars
import inspect
import linecache
import threading
from collections.abc import Coroutine, Mapping
from typing import Any

from quire_runtime.errors import NotebookExit, NotebookNotFound, ServerRefused
from quire_runtime.session import Session

__all__ = ["run_inline"]

DEEPEST = 50


def run_inline(
    shell: Any, session: Session, path: str, arguments: Mapping[str, str] | None = None
) -> str | None:
    """Run the notebook at ``path`` in the user's namespace; return its exit value or None.

    A relative path starts at the current notebook's folder. ``arguments`` hold for the time of the
    run. Raises NotebookNotFound, and whatever a cell of it raises.
    """
    __tracebackhide__ = True
    if session.inline_depth >= DEEPEST:
        raise RecursionError(f"Notebooks are run inside each other more than {DEEPEST} deep.")
    full_path = session.resolve(path)
    notebook = fetch_notebook(session, full_path)
    language = str(notebook.get("metadata", {}).get("language_info", {}).get("name") or "python")
    with session.inlining(full_path, language, arguments or {}):
        try:
            for number, cell in enumerate(notebook["cells"], start=1):
                if cell["cell_type"] == "code" and not _is_skipped(cell):
                    source = cell["source"]
                    _run_cell(
                        shell,
                        source if isinstance(source, str) else "".join(source),
                        f"<notebook {full_path}, cell {number}>",
                    )
        except NotebookExit as exit_signal:
            return exit_signal.value
    return None


def fetch_notebook(session: Session, path: str) -> dict[str, Any]:
    """The notebook stored at an absolute workspace path."""
    __tracebackhide__ = True
    try:
        answer = session.channel.get("/notebooks", {"path": path})
    except ServerRefused as refusal:
        if refusal.code in ("not_found", "permission_denied"):
            raise NotebookNotFound(f"Notebook not found: {path}") from None
        raise
    notebook: dict[str, Any] = answer["notebook"]
    return notebook


def _is_skipped(cell: Mapping[str, Any]) -> bool:
    return "skip-execution" in cell.get("metadata", {}).get("tags", ())


def _run_cell(shell: Any, source: str, filename: str) -> None:
    __tracebackhide__ = True
    if not source.strip():
        return
    code = shell.transform_cell(source)
    lines = code.splitlines(keepends=True)
    linecache.cache[filename] = (len(code), None, lines, filename)
    tree = shell.transform_ast(ast.parse(code, filename))
    statements: list[ast.stmt] = tree.body
    last = statements[-1] if statements and isinstance(statements[-1], ast.Expr) else None
    if last is not None:
        statements = statements[:-1]
    flags = shell.compile.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    if statements:
        module = ast.Module(body=statements, type_ignores=[])
        _execute(shell, compile(module, filename, "exec", flags, dont_inherit=True))
    if last is not None:
        interactive = ast.Interactive(body=[last])
        _execute(shell, compile(interactive, filename, "single", flags, dont_inherit=True))


def _execute(shell: Any, code: Any) -> None:
    __tracebackhide__ = True
    if code.co_flags & inspect.CO_COROUTINE:
        _run_coroutine(eval(code, shell.user_global_ns, shell.user_ns))
    else:
        exec(code, shell.user_global_ns, shell.user_ns)


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a cell that awaits at its top level, to its end.

    The kernel's own event loop is busy with the cell that inlines this one, so it runs in a loop
    of its own on a thread of its own.
    """
    __tracebackhide__ = True
    if _running_loop() is None:
        asyncio.run(coroutine)
        return
    failures: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(coroutine)

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        except BaseException as error:  # noqa: BLE001 - carried over to the cell's own thread
            failures.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        loop.call_soon_threadsafe(task.cancel)
        raise
    if failures:
        raise failures[0]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
