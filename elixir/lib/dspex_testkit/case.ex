defmodule DSPexTestkit.Case do
  @moduledoc """
  A session of its own for each test, so that `async: true` tests share one bridge.

      defmodule MyApp.AnswerTest do
        use DSPexTestkit.Case, async: true, send: &DSPex.PythonBridge.Bridge.call/2

        @tag lm: {:scripted, ["Paris", "Rome"]}
        test "asks again", %{session: session} do
          {:ok, qa} = Session.create_program(session, signature: "question -> answer")
          assert {:ok, %{"answer" => "Paris"}} = Session.execute(session, qa, question: "Capital of France?")
          assert_answered_by(qa, provider: :mock, scope: :session)
        end
      end

  Each test gets `session` (`DSPexTestkit.Session`) and `session_id` in its context. When it ends, `cleanup_session`
  removes the session's programs, LM, journal and script positions from the bridge, and forgets a recording of a test
  that failed; no other session is touched.

  ## `@tag lm: …`

  Configures the LM of the session (`@moduletag` for all tests of a module). Anything that
  `DSPexTestkit.MockLM.lm/1` reads: `:deterministic`, `:random`, `{:scripted, ["first", "second"]}`,
  `{:deterministic, %{"question" => "answer"}}`, `{:record, "openai/gpt-4o-mini"}`, `"openai/gpt-4o"`, a config map.

  ## `@tag cassette: …`

  Has the session play, or record, a cassette while the test runs; see `DSPexTestkit.Cassette`.

  ## `send:`

  How commands reach the bridge: a sender (`DSPexTestkit.Session`). In order: `use DSPexTestkit.Case, send: …`,
  `config :dspex_testkit, send: &Mod.fun/2` (or `{Mod, :fun}`), else a bridge of the kit's own
  (`DSPexTestkit.SharedClient`).
  """

  import ExUnit.Assertions, only: [flunk: 1]
  import ExUnit.Callbacks, only: [on_exit: 2]

  alias DSPexTestkit.{Cassette, Error, Session, SharedClient}

  @doc "Takes `send:` and the options of `ExUnit.Case`; imports the assertions, aliases `Cassette`, `MockLM` and `Session`."
  defmacro __using__(opts) do
    {send, case_opts} = Keyword.pop(opts, :send)

    quote do
      use ExUnit.Case, unquote(case_opts)
      use DSPexTestkit.Cassette
      import DSPexTestkit.Assertions
      alias DSPexTestkit.{Cassette, MockLM, Session}

      setup context do
        DSPexTestkit.Case.begin_session(context, unquote(send))
      end
    end
  end

  @doc """
  Gives the test its session, LM and cassette, and removes them when it ends; what `use DSPexTestkit.Case` does in `setup`.

  Call it from a `setup` of your own where another case template is in use.
  """
  @spec begin_session(map, Session.sender() | nil) :: %{
          session: Session.t(),
          session_id: String.t()
        }
  def begin_session(context, send \\ nil) do
    refuse_mistyped(context)
    session = Session.new(session_id(context), send || default_sender())
    on_exit({__MODULE__, session.id}, fn -> clean_up(session) end)
    configure(session, context[:lm])
    Cassette.insert_tagged(session, context)
    Session.put_current(session)
    %{session: session, session_id: session.id}
  end

  # ExUnit takes any tag; one that is nearly ours, with a value of ours, would do nothing. `lm` is too short to tell.
  defp refuse_mistyped(context) do
    for {tag, value} <- context, mistyped?(tag), value_of_cassette?(value) do
      flunk("@tag #{tag}: #{inspect(value)} does nothing; did you mean @tag cassette: ?")
    end
  end

  defp mistyped?(tag) do
    tag != :cassette and String.length(to_string(tag)) >= 5 and
      String.jaro_distance(to_string(tag), "cassette") > 0.9
  end

  defp value_of_cassette?(value) when is_binary(value) or value == true, do: true

  defp value_of_cassette?({name, opts}) when (is_binary(name) or name == true) and is_list(opts),
    do: Keyword.keyword?(opts)

  defp value_of_cassette?(_value), do: false

  defp session_id(%{module: module} = context) do
    Session.unique("#{inspect(module)}:#{context[:line]}")
  end

  defp configure(_session, nil), do: :ok

  defp configure(session, lm) do
    case Session.configure_lm(session, lm) do
      {:ok, _configured} -> :ok
      {:error, error} -> flunk("@tag lm: #{inspect(lm)} was refused: #{error.message}")
    end
  end

  defp clean_up(session) do
    with {:error, error} <- Session.cleanup(session) do
      # A bridge that the test ended has taken its sessions along.
      unless Error.gone?(error),
        do: flunk("session #{session.id} was not cleaned up: #{error.message}")
    end
  end

  defp default_sender do
    case Application.get_env(:dspex_testkit, :send) do
      nil ->
        &SharedClient.call/2

      {module, function} when is_atom(module) and is_atom(function) ->
        Function.capture(module, function, 2)

      send when is_function(send, 2) ->
        send

      other ->
        raise ArgumentError,
              "config :dspex_testkit, send: must be a function of a command and its args, or {Mod, :fun}, " <>
                "but is #{inspect(other)}"
    end
  end
end
