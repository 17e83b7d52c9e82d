"""The Datalore dialect: runs of notebooks, and the notebook, workspace, file and report APIs."""

from quire.dialects.datalore.routes import datalore_dialect

__all__ = ["datalore_dialect"]
