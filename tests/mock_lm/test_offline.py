"""Mocks never reach for the network, also in a process that nobody prepared."""

import os
import subprocess
import sys

PROGRAM = """
import sys
asked = []
sys.addaudithook(lambda event, args: asked.append(event) if event.startswith(("socket.conn", "socket.getaddr")) else 0)
from dspex_testkit.bridge import Bridge
from dspex_testkit.protocol import Request
bridge = Bridge()
qa = {"id": "qa", "signature": "question -> answer", "lm_config": "openai/gpt-4o"}
bridge.handle(Request(1, "create_program", qa))
response = bridge.handle(Request(2, "execute_program", {"program_id": "qa", "inputs": {"question": "Who?"}}))
assert response.success, response.message
print(asked)
"""


def test_impersonating_a_model_asks_nobody_for_its_price() -> None:
    """DSPy would fetch its list of models; in memory as in a process, the shipped one is read."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LITELLM_")}

    run = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)

    assert run.stdout == "[]\n"
