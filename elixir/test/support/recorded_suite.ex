defmodule DSPexTestkit.Test.RecordedSuite do
  @moduledoc """
  A suite of its own in a BEAM of its own: `mix test` on one file, with cassettes.

  Recorded, it runs under the kit's provider simulator, so that real LM clients speak to a real server.
  """

  @cli "import sys; from dspex_testkit.cli import main; sys.exit(main(sys.argv[1:]))"

  @doc "A new folder with the suite in it."
  def write(source) do
    folder =
      Path.join(
        System.tmp_dir!(),
        "dspex_testkit_#{System.os_time()}_#{System.unique_integer([:positive])}"
      )

    File.mkdir_p!(folder)
    File.write!(Path.join(folder, "recorded_test.exs"), source)
    folder
  end

  @doc "Runs it with every provider simulated by `rules`, and what is said recorded; returns output and status."
  def record(folder, rules) do
    file = Path.join(folder, "rules.json")
    File.write!(file, DSPexTestkit.JSON.encode!(rules))

    run(folder, "record", python(), [
      "-c",
      @cli,
      "serve",
      "--rules",
      file,
      "--",
      mix() | arguments(folder)
    ])
  end

  @doc "Runs it with nothing but the recordings."
  def replay(folder, arguments \\ []),
    do: run(folder, "replay", mix(), arguments(folder) ++ arguments)

  @doc "The folder of its cassettes."
  def cassettes(folder), do: Path.join(folder, "cassettes")

  @doc "The names of the cassettes that were kept."
  def kept(folder) do
    root = cassettes(folder)

    for file <- Path.wildcard(root <> "/**/*.yaml"),
        do: file |> Path.relative_to(root) |> Path.rootname()
  end

  defp run(folder, policy, program, arguments) do
    env = [
      {"MIX_ENV", "test"},
      {"DSPEX_TESTKIT_OFFLINE_POLICY", policy},
      {"DSPEX_TESTKIT_CASSETTES", cassettes(folder)}
    ]

    System.cmd(program, arguments, env: env, stderr_to_stdout: true)
  end

  defp arguments(folder), do: ["test", "--no-compile", Path.join(folder, "recorded_test.exs")]
  defp mix, do: System.find_executable("mix")

  defp python do
    System.find_executable(System.get_env("DSPEX_TESTKIT_PYTHON_EXECUTABLE") || "python3")
  end
end
