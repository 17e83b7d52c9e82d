"""T-SQL on DuckDB.

nodes           a batch as a tree
parser          reads it: where statements end, control flow
prepare         a statement's text before it is parsed as SQL
translate       a statement as DuckDB's
definitions     tables, views, system views
calls           functions
functions       the macros they become
formats         texts of numbers and dates, patterns
types           types and conversions
variables       variables of a batch
session_values  @@ROWCOUNT, SCOPE_IDENTITY() and their like
procedures      stored procedures
interpreter     carries a batch out
"""
