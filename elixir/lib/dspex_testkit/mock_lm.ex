defmodule DSPexTestkit.MockLM do
  @moduledoc """
  Mock LMs as config maps: what `configure_lm`, a program's `lm_config` and an execution's `lm_config` take.

      iex> DSPexTestkit.MockLM.configure_test_lm(:deterministic, default: "I do not know")
      %{provider: "mock", responses: %{"default" => "I do not know"}}

  The maps hold plain JSON values under atom keys, so that DSPex's adapters can read `config.provider`, and every JSON
  library encodes them. Atoms, tuples and regexes become JSON by the rules of `DSPexTestkit.Wire`; what cannot travel
  raises an `ArgumentError` that names the key, before anything is sent.

  Where no module `DSPex.Test.MockLM` exists when this project is compiled, it is defined as another name of this one.
  Switch that off with `config :dspex_testkit, define_dspex_mock_lm: false`.
  """

  alias DSPexTestkit.MockLM.{Recorded, Sample}
  alias DSPexTestkit.Wire

  @typedoc "The modes of `configure_test_lm/2`."
  @type mode :: :deterministic | :random | :scripted | Recorded.mode()

  @typedoc "A config as the bridge takes it: plain values under atom keys."
  @type config :: %{optional(atom) => Wire.plain()}

  @typedoc """
  Every way to write an LM in a test: a mode, a mode with what belongs to it, a model such as `"openai/gpt-4o"`, the
  name of an LM that `DSPexTestkit.Session.define_lm/3` defined, or a config map, which may hold a `response_generator` function.
  """
  @type lm :: mode | {mode, term} | String.t() | map | keyword

  @modes [:deterministic, :random, :scripted, :replay, :record]
  @seed_responses %{
    "What is the capital of France?" => "Paris",
    "default" => "mock response"
  }
  @script ["mock response 1", "mock response 2", "mock response 3"]

  @doc """
  A mock LM's config, by mode (with its defaults) or from a config map.

  | call | answers |
  | --- | --- |
  | `configure_test_lm(:deterministic)` | `"Paris"` for the capital of France, else `"mock response"` |
  | `configure_test_lm(:random)` | typed random values, the same for the same seed and request |
  | `configure_test_lm(:scripted)` | `"mock response 1"` to `3`, then an error |
  | `configure_test_lm(%{provider: :mock, …})` | what the map says |
  """
  @spec configure_test_lm(mode | map | keyword) :: config
  def configure_test_lm(mode_or_config)
  def configure_test_lm(mode) when is_atom(mode), do: configure_test_lm(mode, nil)
  def configure_test_lm(config), do: from_config(config)

  @doc """
  A mock LM's config, by mode with what belongs to it.

      configure_test_lm(:deterministic, %{"2 + 2?" => "4", "default" => "no idea"})
      configure_test_lm(:deterministic, default: "no idea", model: "mock-small")
      configure_test_lm(:random, 42)
      configure_test_lm(:scripted, ["first", %{answer: "second", confidence: 0.9}])
      configure_test_lm(:scripted, answers: ["ping", "pong"], on_exhausted: :cycle)
      configure_test_lm(:record, "openai/gpt-4o-mini")
      configure_test_lm(:replay, provider: :openai, model: "gpt-4o-mini", temperature: 0.7)

  `:record` and `:replay` name an LM that a cassette answers for (`DSPexTestkit.MockLM.Recorded`).

  A keyword list gives options; the bridge checks their names and values. Random mocks take the seed of
  `mix test --seed` where none is given, so that a failing run can be repeated.

  ## Functions

  A function cannot travel to a process of another language. A `response_generator` is asked here instead, either for
  the inputs that the test is going to use, or for a number of answers that are given in turn
  (`DSPexTestkit.MockLM.Sample`):

      configure_test_lm(%{
        provider: :mock,
        response_generator: fn question -> "mock_\#{String.length(question)}" end,
        inputs: ["What is the capital of France?", "What is the capital of Italy?"]
      })

      configure_test_lm(%{
        provider: :mock,
        response_generator: fn _input -> "mock_\#{:rand.uniform(1000)}" end,
        samples: 20
      })

  With neither it raises an `ArgumentError`.
  """
  @spec configure_test_lm(mode, term) :: config
  def configure_test_lm(:deterministic, nil) do
    from_config(%{provider: :mock, responses: @seed_responses})
  end

  def configure_test_lm(:deterministic, responses) when is_map(responses) do
    from_config(%{provider: :mock, responses: responses})
  end

  def configure_test_lm(:deterministic, opts) do
    {default, opts} = :deterministic |> options!(opts) |> Map.pop(:default)
    responses = opts |> Map.get(:responses, %{}) |> Map.new()
    responses = if default == nil, do: responses, else: Map.put(responses, "default", default)
    table = if responses == %{}, do: %{}, else: %{responses: responses}
    %{provider: :mock} |> Map.merge(opts) |> Map.merge(table) |> from_config()
  end

  def configure_test_lm(:random, seed) when is_integer(seed) do
    configure_test_lm(:random, seed: seed)
  end

  def configure_test_lm(:random, opts) do
    %{provider: :mock, mode: :random, seed: ExUnit.configuration()[:seed] || 0}
    |> Map.merge(options!(:random, opts || []))
    |> from_config()
  end

  def configure_test_lm(:scripted, nil), do: configure_test_lm(:scripted, @script)

  def configure_test_lm(:scripted, answers_or_opts) do
    opts =
      if answers_or_opts != [] and Keyword.keyword?(answers_or_opts),
        do: Map.new(answers_or_opts),
        else: %{answers: answers_or_opts}

    unless match?([_ | _], opts[:answers]) do
      raise ArgumentError,
            "a script needs a list of at least one answer, got: #{inspect(opts[:answers])}. Write " <>
              ~s(configure_test_lm(:scripted, ["first", "second"]\).)
    end

    %{provider: :mock, mode: :scripted} |> Map.merge(opts) |> from_config()
  end

  def configure_test_lm(mode, lm) when mode in [:replay, :record] do
    mode |> Recorded.config(lm) |> from_config()
  end

  def configure_test_lm(mode, _opts) do
    raise ArgumentError,
          "there is no mode #{inspect(mode)} of a test LM; write one of #{inspect(@modes)}"
  end

  @doc """
  Several LMs that answer as one, as a config map like any other.

      ensemble(:majority, ["openai/gpt-4o", {:deterministic, default: "Paris"}, "fast"], quorum: 2)

  `strategy` is one of `:majority`, `:first_success`, `:best_of`, `:all`. A member is anything that `lm/1` reads, such
  as another ensemble; so is `:judge`. The bridge checks strategy and options.
  """
  @spec ensemble(atom | String.t(), [lm], keyword | map) :: config
  def ensemble(strategy, members, opts \\ []) when is_list(members) do
    opts
    |> Map.new()
    |> replace_existing(:judge, &lm/1)
    |> Map.merge(%{kind: :ensemble, strategy: strategy, members: Enum.map(members, &lm/1)})
    |> from_config()
  end

  @doc "Reads an LM in any spelling of `t:lm/0`; what `@tag lm:` and `DSPexTestkit.Session` do."
  @spec lm(lm) :: config
  def lm(mode) when is_atom(mode), do: configure_test_lm(mode)
  def lm({mode, opts}) when is_atom(mode), do: configure_test_lm(mode, opts)
  def lm(text) when is_binary(text), do: from_config(%{lm: text})
  def lm(config) when is_map(config) or is_list(config), do: from_config(config)

  def lm(other) do
    raise ArgumentError,
          "expected an LM as a mode (#{inspect(@modes)}), {mode, options}, a model, a defined LM's name or a config map, got: #{inspect(other)}"
  end

  defp replace_existing(map, key, fun) when is_map_key(map, key), do: Map.update!(map, key, fun)
  defp replace_existing(map, _key, _fun), do: map

  defp from_config(config) do
    unless is_map(config) or Keyword.keyword?(config) do
      raise ArgumentError,
            "expected an LM config as a map or keyword list, got: #{inspect(config)}"
    end

    config
    |> Map.new(fn {key, value} -> {top_key(key), value} end)
    |> Sample.expand()
    |> Map.new(fn {key, value} -> {key, Wire.plain!(value, [key])} end)
  end

  # Atoms at the top, whatever was written, because DSPex's adapters read `config.provider`.
  defp top_key(key) when is_atom(key), do: key
  defp top_key(key) when is_binary(key), do: String.to_atom(key)

  defp top_key(key) do
    raise ArgumentError, "an LM config's keys are atoms or texts, got: #{inspect(key)}"
  end

  defp options!(mode, opts) do
    if Keyword.keyword?(opts) or is_map(opts),
      do: Map.new(opts),
      else:
        raise(
          ArgumentError,
          "expected options of #{inspect(mode)} as a keyword list, got: #{inspect(opts)}"
        )
  end
end

if Application.compile_env(:dspex_testkit, :define_dspex_mock_lm, true) and
     not Code.ensure_loaded?(DSPex.Test.MockLM) do
  defmodule DSPex.Test.MockLM do
    @moduledoc "The design note's name of `DSPexTestkit.MockLM`."

    defdelegate configure_test_lm(mode_or_config), to: DSPexTestkit.MockLM
    defdelegate configure_test_lm(mode, options), to: DSPexTestkit.MockLM
    defdelegate ensemble(strategy, members), to: DSPexTestkit.MockLM
    defdelegate ensemble(strategy, members, options), to: DSPexTestkit.MockLM
  end
end
