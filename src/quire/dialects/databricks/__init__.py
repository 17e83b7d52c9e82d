"""The Databricks dialect: Jobs 2.0 for notebooks, Workspace 2.0 and the small APIs around them."""

from quire.dialects.databricks.routes import databricks_dialect

__all__ = ["databricks_dialect"]
