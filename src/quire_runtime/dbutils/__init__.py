"""``dbutils``: the object of that name in Databricks notebooks (Databricks contract 10)."""

from __future__ import annotations

from quire_runtime.dbutils.fs import FileSystem
from quire_runtime.dbutils.help import Helpful
from quire_runtime.dbutils.notebook import Notebook
from quire_runtime.dbutils.unsupported import Library, unsupported_modules
from quire_runtime.dbutils.widgets import Widgets
from quire_runtime.session import Session

__all__ = ["DBUtils"]


class DBUtils(Helpful):
    """Utilities of a notebook.

    fs: files. notebook: this notebook and others. widgets: parameters. library, secrets, jobs,
    data, credentials, preview: named here, not served by this server yet.
    """

    def __init__(self, session: Session) -> None:
        self.fs = FileSystem(session)
        self.notebook = Notebook(session)
        self.widgets = Widgets(session)
        self.library = Library()
        for name, module in unsupported_modules().items():
            setattr(self, name, module)

    def __repr__(self) -> str:
        return "<dbutils>"
