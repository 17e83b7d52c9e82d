"""The command line: one module a group of commands, which act on the database directly."""
