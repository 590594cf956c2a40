"""The way to `launch.main` for launchers that were installed when it was here."""

from dspex_testkit.launch.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
