script = System.get_env("DSPEX_TESTKIT_SCRIPT")
python = System.get_env("DSPEX_TESTKIT_PYTHON_EXECUTABLE", "python3")

unless script && File.regular?(script) && System.find_executable(python) do
  IO.puts(:stderr, """
  These tests drive a real bridge, and there is none.

    DSPEX_TESTKIT_SCRIPT              #{inspect(script)}
      the dspy_bridge.py that `dspex-testkit install DIR` writes
    DSPEX_TESTKIT_PYTHON_EXECUTABLE   #{inspect(python)}
      an interpreter, by path or by a name in PATH; "python3" where unset

  Set them and run `mix test` again.
  """)

  System.halt(1)
end

# Raises, and says what to install, where there is no JSON module.
DSPexTestkit.JSON.module()

# More modules at once than this machine has cores: what is shown is that they do not touch each other.
ExUnit.start(max_cases: 16, capture_log: true)
