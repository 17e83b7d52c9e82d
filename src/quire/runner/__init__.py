"""The process that carries out one attempt: it owns a kernel, drives it and reports what happens.

Imports nothing of the server; everything it knows arrives in an Assignment.
"""
