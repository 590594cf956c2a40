"""What makes the bridge a process: descriptors, settings, the serve loop, the launcher.

    main        the command line of `dspex-bridge` and of the launcher
    settings    flags, environment and ``dspex_testkit.toml``, from one table
    stdio       descriptors 0 and 1 belong to frames alone
    serve       requests in, responses out, pings first (`early_ping`, as long as there is no bridge)
    watchdog    notices a departed client while the main thread is busy
    leaving     the only way out: no thread, child or scratch folder stays behind
    processes   which processes are below this one
    library_log what libraries log goes to the bridge's log
    install     writes the launcher where DSPex looks for it
    doctor      replays DSPex's own check of its environment, and a real launch

Up to the first reply to a ping nothing is imported but ``os``, ``sys``, ``json`` and what those bring along; up to the
hand-over to a warm host's worker not even ``json``.
"""
