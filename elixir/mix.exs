defmodule DSPexTestkit.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :dspex_testkit,
      version: @version,
      elixir: "~> 1.14",
      description:
        "Test DSPex offline: mock LMs, a session per test, assertions on which LM answered.",
      elixirc_paths: elixirc_paths(Mix.env()),
      # The JSON module may be one that no mix file names: jiffy from the system's Erlang.
      prune_code_paths: false,
      deps: []
    ]
  end

  def application do
    [
      extra_applications: [:logger, :ex_unit],
      mod: {DSPexTestkit.Application, []}
    ]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]
end
