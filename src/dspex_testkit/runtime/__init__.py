"""What makes the bridge a process: descriptors, settings, the serve loop, its end.

    arguments   the command line
    settings    flags, environment and ``dspex_testkit.toml``, from one table
    stdio       descriptors 0 and 1 belong to frames alone
    startup     what every process does first: settings, log, signals
    serve       requests in, responses out, pings first (`early_ping`, as long as there is no bridge)
    loader      the one thread that imports, while pings are answered; it starts the `execution_threads`
    watchdog    notices a departed client while the main thread is busy
    shutdown    the only way out: no thread, child or scratch folder stays behind
    scratch     folders that go with their process, or with the next one where it was killed
    processes   which processes are below this one
    library_log what libraries log goes to the bridge's log
    network     no connection to another machine by accident

Up to the first reply to a ping nothing is imported but ``os``, ``sys``, ``json`` and what those bring along; up to the
hand-over to a warm host's worker not even ``json``.
"""
