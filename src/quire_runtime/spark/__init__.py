"""Spark as a notebook sees it: one run attached to the driver of a cluster that others share.

pyspark is imported when a notebook first uses Spark, never before.

    place          where the run's Spark is: asks the server, waits for it
    attachment     the connection to the driver, and what the run has there: session, job group
    gateway        py4j's client, with marks on every thread, clear ends and clean interrupts
    patches        the few places of pyspark that would start, or stop, a driver of their own
    names          ``spark``, ``sc`` and the like: made when a cell is about to use one
    sharing        files that the notebook and the driver both write
    frames         Spark's frames as tables
    statements     the statements of a text in Spark's SQL, and the notebook's values in them
    sql            ``%sql`` through Spark
    scala          ``%scala``: a Scala interpreter in the driver, on the run's own session
"""

from __future__ import annotations
