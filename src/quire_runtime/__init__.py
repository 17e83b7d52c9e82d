"""What a notebook finds in its kernel: ``dbutils``, ``display``, magics and what they need.

Standard library only, because a kernel may live in any environment with Python 3.9 or later and
ipykernel. It knows the server only as an HTTP address and the run only by the token it was given.

    bootstrap      puts the names and magics into a kernel, once a run
    session        what one run knows: parameters, notebook paths, the channel
    channel        HTTP to the server
    errors         everything that is raised on purpose
    files          paths of several schemes: the server's file store and the local disk
    child_runs     other notebooks as runs of their own
    inline         other notebooks inside this one
    packages       packages for this run alone
    processes      commands whose output is shown as it comes
    tables         rows of many kinds as one table
    display        ``display`` and ``displayHTML``
    placeholders   names that are promised and not served
    other_kernel   cells of a language that has a kernel of its own
    spark/         Spark, when a cell first uses it
    magics/        the magics and the rule that a leading ``%name`` takes the whole cell
    dbutils/       the object of that name
"""
