"""A mock's function that waits for something synchronous."""

import time
from pathlib import Path
from typing import Any


def until_file_exists(call: Any) -> str:
    """Wait, without a loop, until the file is there that the question names."""
    gate = Path(call.inputs["question"])
    while not gate.exists():
        time.sleep(0.005)
    return "at last"
