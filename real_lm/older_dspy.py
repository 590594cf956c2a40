"""A program on DSPy 3.2 that knows nothing of the kit: what its LM answers, whole and for a signature."""

import json
import sys

import dspy

assert dspy.__version__.startswith("3.2."), dspy.__version__
lm = dspy.LM(f"openai/{sys.argv[1]}", temperature=0.0, max_tokens=24, seed=7, cache=False, num_retries=0)
dspy.configure(lm=lm)
answers = [lm("What is the capital of France?")]
try:
    answers.append(dspy.Predict("question -> answer")(question="What is 2+2?").answer)
except Exception as error:
    answers.append(f"{type(error).__name__}: {error}")
told = [[entry["usage"]["prompt_tokens"], entry["usage"]["completion_tokens"]] for entry in lm.history]
print(json.dumps({"answers": answers, "tokens": told}))
