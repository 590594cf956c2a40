defmodule DSPexTestkit.CaseTest do
  @moduledoc "What a test gets from `DSPexTestkit.Case`."
  use DSPexTestkit.Case, async: true

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Error, SharedClient}

  describe "the session" do
    test "is in the context, named after the test's module", %{session: session, session_id: id} do
      assert %Session{id: ^id} = session
      assert id =~ ~r/^DSPexTestkit\.CaseTest:\d+_\d+$/
    end

    test "has no LM unless the test asks for one", %{session: session} do
      {:ok, qa} = Session.create_program(session, qa())
      assert {:error, %Error{code: "no_lm_loaded"}} = Session.execute(session, qa, question: "?")
    end

    test "is the one that assertions mean, in the test's tasks too", %{session: session} do
      Session.configure_lm(session, :deterministic)
      {:ok, qa} = Session.create_program(session, qa())
      {:ok, _result} = Session.execute(session, qa, question: "?")

      assert [%{"program_id" => ^qa}] = calls(qa)
      assert [%{"program_id" => ^qa}] = calls(session.id)
      assert [_call] = Task.await(Task.async(fn -> calls(qa) end))
    end
  end

  describe "@tag lm:" do
    setup %{session: session} do
      {:ok, qa} = Session.create_program(session, qa())
      %{qa: qa}
    end

    @tag lm: :deterministic
    test "takes a mode", %{session: session, qa: qa} do
      assert {:ok, %{"answer" => "Paris"}} =
               Session.execute(session, qa, question: "What is the capital of France?")

      assert {:ok, %{"answer" => "mock response"}} =
               Session.execute(session, qa, question: "And of Italy?")

      assert_answered_by(qa, provider: :mock, scope: :session)
    end

    @tag lm: {:scripted, ["first", %{answer: "second"}]}
    test "takes a mode with what belongs to it", %{session: session, qa: qa} do
      assert {:ok, %{"answer" => "first"}} = Session.execute(session, qa, question: "?")
      assert {:ok, %{"answer" => "second"}} = Session.execute(session, qa, question: "?")

      assert {:error, %Error{code: code, message: text}} =
               Session.execute(session, qa, question: "?")

      assert text =~ "script" and code =~ ~r/script_exhausted|program_execution_failed/
    end

    @tag lm: "openai/gpt-4o-mini"
    test "takes a model", %{session: session, qa: qa} do
      {:ok, result} = Session.execute(session, qa, question: "?")

      assert_answered_by(result,
        provider: :openai,
        model: "gpt-4o-mini",
        scope: :session,
        mocked: true
      )
    end

    @tag lm: %{provider: :mock, model: "own", responses: %{"?" => "!"}}
    test "takes a config", %{session: session, qa: qa} do
      assert {:ok, %{"answer" => "!"}} = Session.execute(session, qa, question: "?")
      assert_answered_by(qa, model: "own", rule: ~r/responses/)
    end

    @tag lm: {:random, 42}
    test "random answers depend on the seed and the request alone", %{session: session, qa: qa} do
      {:ok, %{"answer" => first}} = Session.execute(session, qa, question: "?")
      assert first =~ ~r/^mock_\d+$/
      Session.configure_lm(session, {:random, 42})
      assert {:ok, %{"answer" => ^first}} = Session.execute(session, qa, question: "?")
    end
  end

  test "a wrong LM fails the test with the bridge's reason" do
    context = %{module: __MODULE__, line: 1, lm: %{provider: :openia, model: "gpt-4o"}}

    assert_raise ExUnit.AssertionError, ~r/@tag lm: .* was refused: .*openia.*openai/, fn ->
      DSPexTestkit.Case.begin_session(context, &SharedClient.call/2)
    end
  end

  test "a session that ended left nothing behind", %{session: session} do
    Session.configure_lm(session, :deterministic)
    {:ok, qa} = Session.create_program(session, qa())
    {:ok, _result} = Session.execute(session, qa, question: "?")
    Session.cleanup(session)

    assert calls(session) == []
    assert %{"lm" => nil} = Session.call!(session, :get_lm)
    assert %{"programs" => []} = Session.call!(session, :list_programs)
  end

  describe "args" do
    test "that cannot travel raise before the sender is called", %{session: session} do
      assert_raise ArgumentError, ~r/at inputs\.q: a function cannot travel/, fn ->
        Session.execute(session, "qa", q: fn -> 1 end)
      end
    end

    test "have atom keys at the top, where DSPex's pools look for them", %{session: session} do
      assert_raise ArgumentError, ~r/program_id: instead of "program_id"/, fn ->
        Session.call(session, :execute_program, %{"program_id" => "qa"})
      end
    end
  end
end

defmodule DSPexTestkit.CaseSendTest do
  @moduledoc "A sender of the user's own: any function of a command and its args."
  use DSPexTestkit.Case, async: true, send: &__MODULE__.through_a_pool/2

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.Pool

  @moduletag lm: {:scripted, ["through the pool"]}

  setup_all do
    start_supervised!({Pool, size: 1, name: __MODULE__.Pool})
    :ok
  end

  # What a project with a pool of DSPex's writes around `execute_in_session/4`.
  def through_a_pool(command, args), do: Pool.call(__MODULE__.Pool, command, args)

  test "reaches the bridge through the pool", %{session: session} do
    {:ok, qa} = Session.create_program(session, qa())
    assert {:ok, %{"answer" => "through the pool"}} = Session.execute(session, qa, question: "?")
    assert %{"worker_id" => "worker_" <> _} = assert_answered_by(qa, scope: :session)
    refute_leaked(session)
  end
end
