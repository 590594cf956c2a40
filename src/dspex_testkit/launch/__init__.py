"""How a bridge comes to run, and how DSPex comes to find it; the room above the runtime and the warm host.

    main            the command line of `dspex-bridge` and of the launcher
    embedded        the bridge for code that imports the launcher instead of running it
    install         writes the launcher where DSPex looks for it, and takes it away again
    dspy_bridge     the launcher that is written
    python_wrapper  an interpreter for DSPex that answers its probes without importing dspy
    doctor          replays DSPex's own check of its environment, and with `probe` a real launch

`runtime.main` and `runtime.embedded` lead here: launchers that were installed before name them.
"""
