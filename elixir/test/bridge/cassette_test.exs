defmodule DSPexTestkit.CassetteTest do
  @moduledoc """
  Recordings: a suite is recorded against simulated providers once, in a BEAM of its own, and its cassettes are played
  here, by a bridge that has no provider to ask.
  """
  use DSPexTestkit.Case, async: true, send: &__MODULE__.player/2

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Client, Error}
  alias DSPexTestkit.Test.RecordedSuite

  @suite ~S'''
  defmodule Recorded.CapitalsTest do
    use DSPexTestkit.Case, async: true

    @moduletag lm: {:record, "openai/gpt-4o-mini"}

    setup %{session: session} = context do
      {:ok, qa} = Session.create_program(session, signature: "question -> answer")
      ask = fn question -> elem(Session.execute(session, qa, question: question), 1)["answer"] end
      if context[:in_setup], do: context.in_setup.(ask)
      %{ask: ask}
    end

    @tag cassette: "capitals/france"
    test "passes", %{ask: ask}, do: assert(ask.("Capital of France?") == "Paris")

    @tag cassette: {"capitals/twice", mode: :once}
    test "passes with a mode", %{ask: ask} do
      assert ask.("Capital of France?") == "Paris"
      assert ask.("Capital of Italy?") == "Rome"
    end

    describe "in a block" do
      @describetag cassette: true
      test "is named after itself", %{ask: ask}, do: assert(ask.("Capital of Italy?") == "Rome")
    end

    @tag cassette: "fails/in_body"
    test "fails in its body", %{ask: ask}, do: assert(ask.("Capital of France?") == "Rome")

    @tag cassette: "fails/by_exit"
    test "exits", %{ask: ask} do
      ask.("Capital of France?")
      exit(:boom)
    end

    @tag cassette: "fails/by_link"
    test "is killed by a process that it is linked to", %{ask: ask} do
      ask.("Capital of France?")
      spawn_link(fn -> exit(:boom) end)
      Process.sleep(:infinity)
    end

    @tag cassette: "fails/in_setup", in_setup: &__MODULE__.ask_and_raise/1
    test "fails in its setup", do: :ok

    @tag cassette: "fails/asks_nobody"
    test "passes and asks nobody", do: :ok

    def ask_and_raise(ask) do
      ask.("Capital of France?")
      raise "no"
    end
  end

  defmodule Recorded.Template do
    use ExUnit.CaseTemplate
    using do: quote(do: use(DSPexTestkit.Cassette))
    setup context, do: DSPexTestkit.Case.begin_session(context)
  end

  defmodule Recorded.TemplateTest do
    use Recorded.Template, async: true

    @tag lm: {:record, "gemini/gemini-2.0-flash"}, cassette: "template"
    test "passes", %{session: session} do
      {:ok, qa} = DSPexTestkit.Session.create_program(session, signature: "question -> answer")
      assert {:ok, %{"answer" => "Rome"}} =
               DSPexTestkit.Session.execute(session, qa, question: "Capital of Italy?")
    end
  end

  defmodule Recorded.PoolTest do
    use DSPexTestkit.Case, async: true, send: &__MODULE__.ask_any_worker/2

    setup_all do
      start_supervised!({DSPexTestkit.Pool, name: __MODULE__, size: 2})
      :ok
    end

    def ask_any_worker(command, args), do: DSPexTestkit.Pool.call(__MODULE__, command, args)

    @tag lm: {:record, "openai/gpt-4o-mini"}, cassette: "pool"
    test "asks both workers", %{session: session} do
      {:ok, qa} = Session.create_program(session, signature: "question -> answer")

      for {country, capital} <- [{"France", "Paris"}, {"Italy", "Rome"}] do
        assert {:ok, %{"answer" => ^capital}} =
                 Session.execute(session, qa, question: "Capital of #{country}?")
      end

      assert [one, other] = DSPexTestkit.Assertions.calls(session)
      assert one["worker_id"] != other["worker_id"]
    end
  end
  '''

  setup_all do
    folder = RecordedSuite.write(@suite)
    on_exit(fn -> File.rm_rf!(folder) end)
    rules = %{responses: %{"Capital of France?" => "Paris", "Capital of Italy?" => "Rome"}}
    {output, status} = RecordedSuite.record(folder, rules)

    env = [
      {"DSPEX_TESTKIT_OFFLINE_POLICY", "replay"},
      {"DSPEX_TESTKIT_CASSETTES", RecordedSuite.cassettes(folder)}
    ]

    start_supervised!({Client, name: __MODULE__.Player, env: env})
    %{folder: folder, output: output, status: status}
  end

  def player(command, args), do: Client.call(__MODULE__.Player, command, args)

  describe "a recorded suite" do
    test "keeps the recordings of tests that passed, and no others", %{
      folder: folder,
      output: output,
      status: status
    } do
      assert output =~ "10 tests, 5 failures"
      assert status != 0

      assert Enum.sort(RecordedSuite.kept(folder)) == [
               "capitals/france",
               "capitals/twice",
               "pool",
               "recorded/capitals_test/test_in_a_block_is_named_after_itself",
               "template"
             ]
    end

    test "fails a test that was to be recorded and asked no LM", %{output: output} do
      assert output =~
               ~r/passed, but its cassette "fails\/asks_nobody" did not: .*no LM was called/
    end

    test "tells a failing test's own line", %{output: output} do
      assert output =~ "recorded_test.exs:28: "
    end

    test "replays without a provider", %{folder: folder} do
      assert {output, 2} = RecordedSuite.replay(folder)
      assert output =~ "10 tests, 5 failures"
      assert output =~ ~s(@tag cassette: "fails/in_body" was refused: )
    end
  end

  describe "a replayed cassette" do
    setup %{session: session} do
      {:ok, qa} = Session.create_program(session, qa("qa", signature: "question -> answer"))
      %{qa: qa}
    end

    @tag lm: {:replay, "openai/gpt-4o-mini"}, cassette: "capitals/france"
    test "answers in place of the provider, with recorded usage", %{session: session, qa: qa} do
      assert {:ok, %{"answer" => "Paris"}} =
               Session.execute(session, qa, question: "Capital of France?")

      assert_answered_by(qa, model: "gpt-4o-mini", mocked: true, engine: "replay", scope: :session)

      assert [%{"usage" => %{"input_tokens" => tokens}}] = calls(qa)
      assert tokens > 0
    end

    @tag lm: {:record, "openai/gpt-4o-mini"}
    test "is inserted and ejected by hand", %{session: session, qa: qa} do
      assert {:ok, %{"interactions" => 2}} =
               Cassette.insert(session, "capitals/twice", mode: :none)

      assert {:ok, %{"answer" => "Rome"}} =
               Session.execute(session, qa, question: "Capital of Italy?")

      assert {:ok, %{"played" => 1, "unplayed" => [0], "committed" => false}} =
               Cassette.eject(session, passed: true)
    end

    @tag lm: {:replay, "openai/gpt-4o-mini"}
    test "does not record, as there is nobody to ask", %{session: session} do
      assert {:error, %Error{code: "usage_error", message: text}} =
               Cassette.insert(session, "capitals/france", mode: :rewrite)

      assert text =~ "needs a live LM"
    end

    @tag lm: {:replay, "openai/gpt-4o-mini"}
    test "tells a miss when it is asked, and again to whoever swallowed it", %{
      session: session,
      qa: qa
    } do
      {:ok, _report} = Cassette.insert(session, "capitals/france")

      assert {:error, %Error{code: "no_matching_interaction"}} =
               Session.execute(session, qa, question: "Capital of Spain?")

      assert {:error, %Error{code: "no_matching_interaction", message: text}} =
               Cassette.eject(session, passed: true)

      assert text =~ "France"
    end
  end

  describe "a wrong @tag cassette:" do
    test "that is missing fails the test with the bridge's reason",
         %{session: session} = context do
      assert_raise ExUnit.AssertionError,
                   ~r/@tag cassette: "missing" was refused: .*missing/,
                   fn ->
                     Cassette.insert_tagged(session, tagged(context, "missing"))
                   end
    end

    test "of another shape, or with another option, is named", %{session: session} = context do
      assert_raise ArgumentError, ~r/expected @tag cassette: .* got: 7/, fn ->
        Cassette.insert_tagged(session, tagged(context, 7))
      end

      assert_raise ArgumentError, ~r/:mod/, fn ->
        Cassette.insert_tagged(session, tagged(context, {"x", mod: :once}))
      end
    end

    test "that nobody would eject is refused", %{session: session} = context do
      context = %{tagged(context, "capitals/france") | module: __MODULE__.Unwrapped}

      assert_raise ArgumentError,
                   ~r/write `use DSPexTestkit.Cassette` after `use ExUnit.Case`/,
                   fn ->
                     Cassette.insert_tagged(session, context)
                   end
    end
  end

  # As if the test "answers in place …", whose cassette is ejected, had this tag.
  defp tagged(context, tag) do
    Map.merge(context, %{
      test: :"test a replayed cassette answers in place of the provider, with recorded usage",
      cassette: tag
    })
  end
end
