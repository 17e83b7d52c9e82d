"""Measures Quire against papermill and nbclient, on the same machine in the same run."""
