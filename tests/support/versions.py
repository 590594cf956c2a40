"""Which release of a library is installed; what a library does at one release and not at another is told by it."""

from importlib.metadata import version

from packaging.version import Version


def since(library: str, release: str) -> bool:
    """Whether the installed library is that release or a later one."""
    return Version(version(library)) >= Version(release)
