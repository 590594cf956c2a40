"""A program that knows nothing of the simulator, for a DSPy that knows nothing of this kit.

DSPex pins 3.2; 3.3 lies between that and what the kit wants.
"""

import os

import dspy

MODELS = ("gemini/gemini-1.5-flash", "openai/gpt-4o-mini", "anthropic/claude-3-haiku-20240307", "cohere_chat/command-r")

assert dspy.__version__.startswith(("3.2.", "3.3.")), dspy.__version__
for model in MODELS:
    # As DSPex's own Python side does it.
    dspy.configure(lm=dspy.LM(model, api_key=os.environ["GEMINI_API_KEY"], temperature=0.7))
    answer = dspy.Predict("question -> answer")(question="What is the capital of France?").answer
    assert answer == "Paris", (model, answer)
print(f"DSPy {dspy.__version__} was answered by {len(MODELS)} simulated providers")
