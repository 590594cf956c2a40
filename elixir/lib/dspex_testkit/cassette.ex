defmodule DSPexTestkit.Cassette do
  @moduledoc """
  Recordings of what LMs said: made once against a provider, replayed from then on.

      defmodule MyApp.CapitalsTest do
        use DSPexTestkit.Case, async: true

        @moduletag lm: {:record, "openai/gpt-4o-mini"}

        @tag cassette: "capitals/france"
        test "knows France", %{session: session} do
          {:ok, qa} = Session.create_program(session, signature: "question -> answer")
          assert {:ok, %{"answer" => "Paris"}} = Session.execute(session, qa, question: "Capital of France?")
        end
      end

  Under `DSPEX_TESTKIT_OFFLINE_POLICY=record` the provider is asked and the recording kept, under `replay` the recording
  answers. Cassettes lie in the folder that `DSPEX_TESTKIT_CASSETTES` names.

  ## `@tag cassette: …`

  | tag | cassette |
  | --- | --- |
  | `cassette: "capitals/france"` | this one; `.yaml` is added |
  | `cassette: {"capitals/france", mode: :new_episodes}` | this one, in this record mode while the policy is `record` |
  | `cassette: true` | one named after the module and the test |

  It is inserted before the test. When the test's body has returned, it is ejected as passed, in the test's process: what
  was recorded is kept, and a test that swallowed a miss, or that was to be recorded and asked no LM, fails. A test that
  fails in its `setup` or in its body, or is killed or runs out of time, leaves no recording. `on_exit` callbacks run
  after that, so a failure in one of them no longer discards it.

  Tests of a case template that is not `DSPexTestkit.Case` need `use DSPexTestkit.Cassette` after `use ExUnit.Case`.

  A session's cassette is in use on every worker of its pool, by way of the warm host. Where there is none (another
  system than Linux, or `DSPEX_TESTKIT_HOST=off`) a pool that plays or records cassettes has one worker.
  """

  import ExUnit.Assertions, only: [flunk: 1]

  alias DSPexTestkit.Session

  @typedoc "What `@tag cassette:` takes."
  @type tag :: String.t() | true | {String.t() | true, keyword}

  @doc "Has tests with `@tag cassette:` eject it as passed when their body has returned."
  defmacro __using__(_opts) do
    quote do
      @on_definition DSPexTestkit.Cassette.Ending
      @before_compile DSPexTestkit.Cassette.Ending
    end
  end

  @doc """
  Has the session play, or record, a cassette until it is ejected.

  `:mode` is one of `:none`, `:once`, `:new_episodes`, `:all`, `:rewrite`, `:verify`; where it is absent, the bridge's:
  `:none` unless its policy is `record`, then its setting `record_mode`, which is `:once` unless it says otherwise.
  The result tells how many `"interactions"` there are.
  """
  @spec insert(Session.t(), String.t(), mode: atom | String.t()) :: Session.result()
  def insert(session, name, opts \\ []) do
    args = opts |> Keyword.validate!([:mode]) |> Map.new() |> Map.put(:name, name)
    Session.call(session, :use_cassette, args)
  end

  @doc """
  Ends the use of the session's cassette; what was recorded is kept only with `passed: true`.

  The result has `"played"`, `"recorded"`, `"unplayed"`, `"misses"`, `"drifts"` and `"committed"`.
  """
  @spec eject(Session.t(), passed: boolean) :: Session.result()
  def eject(session, passed: passed) when is_boolean(passed) do
    Session.call(session, :eject_cassette, %{passed: passed})
  end

  @doc "Inserts the cassette that the test's tags name, if they name one; a refusal fails the test."
  @spec insert_tagged(Session.t(), map) :: :ok
  def insert_tagged(session, %{cassette: tag} = context) when tag not in [nil, false] do
    {name, opts} = read_tag(tag, context)
    refuse_unending(context)

    with {:ok, opts} <- fit_mode(session, opts),
         {:ok, _report} <- insert(session, name, opts) do
      :ok
    else
      {:error, error} -> flunk("@tag cassette: #{inspect(tag)} was refused: #{error.message}")
    end
  end

  def insert_tagged(_session, _context), do: :ok

  @doc false
  def eject_passed(%{session: session, cassette: tag} = context) do
    with {:error, error} <- eject(session, passed: true) do
      {name, _opts} = read_tag(tag, context)
      flunk("the test passed, but its cassette #{inspect(name)} did not: #{error.message}")
    end
  end

  # A tag stays as it is when the suite is replayed, where the bridge refuses every mode that may ask an LM.
  defp fit_mode(session, mode: mode) do
    with {:ok, %{"offline_policy" => policy}} <- Session.call(session, :get_stats) do
      {:ok, if(policy == "record", do: [mode: mode], else: [])}
    end
  end

  defp fit_mode(_session, opts), do: {:ok, opts}

  defp read_tag(name, _context) when is_binary(name), do: {name, []}
  defp read_tag(true, context), do: {name_of(context), []}
  defp read_tag({true, opts}, context) when is_list(opts), do: {name_of(context), opts}
  defp read_tag({name, opts}, _context) when is_binary(name) and is_list(opts), do: {name, opts}

  defp read_tag(other, _context) do
    raise ArgumentError,
          "expected @tag cassette: as a name, {name, mode: …} or true, got: #{inspect(other)}"
  end

  defp name_of(%{module: module, test: test}) do
    Macro.underscore(module) <> "/" <> String.replace(to_string(test), ~r/[^\w.-]+/u, "_")
  end

  defp refuse_unending(%{module: module, test: test}) do
    unless DSPexTestkit.Cassette.Ending.of?(module, test) do
      raise ArgumentError,
            "#{inspect(module)} has @tag cassette:, but nobody would eject it when the test has passed; " <>
              "write `use DSPexTestkit.Cassette` after `use ExUnit.Case`"
    end
  end
end
