defmodule DSPexTestkit.LMScopesTest do
  @moduledoc "Which LM answers, scope by scope, on a bridge of its own: the design note's workflow through a real port."
  use ExUnit.Case, async: true

  import DSPexTestkit.Assertions
  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Client, Error, Session}

  setup context do
    client = start_supervised!({Client, env: context[:env] || []})
    send = &Client.call(client, &1, &2)
    %{client: client, session: Session.new("s1", send), other: Session.new("s2", send)}
  end

  @question [question: "What is the capital of France?"]

  defp ask(session, opts \\ %{}) do
    with {:ok, result} <- Session.execute(session, "qa", @question, opts) do
      {result["lm"]["scope"], result["lm"]["model"], result["answer"]}
    end
  end

  test "without an LM the answer is the error that everybody knows", %{client: client} do
    Client.call!(client, :create_program, qa())

    assert {:error, %Error{code: "no_lm_loaded", message: "No LM is loaded." <> _}} =
             Client.call(client, :execute_program, program_id: "qa", inputs: @question)

    assert %{"lm" => nil} = Client.call!(client, :get_lm)
  end

  @tag env: [
         {"DSPEX_TESTKIT_DEFAULT_LM",
          ~s({"provider":"mock","model":"d","responses":{"default":"from default"}})}
       ]
  test "the narrowest scope decides, and nothing else changes", context do
    %{client: client, session: session, other: other} = context
    Client.call!(client, :create_program, qa())

    assert ask(session) == {"default", "d", "from default"}

    Client.call!(client, :configure_lm, mock("g", "from global"))
    assert ask(session) == {"global", "g", "from global"}

    Session.configure_lm(session, mock("s", "from session"))
    assert ask(session) == {"session", "s", "from session"}
    assert ask(other) == {"global", "g", "from global"}

    Session.create_program(session, qa("qa", lm_config: mock("p", "from program")))
    assert ask(session) == {"program", "p", "from program"}
    assert ask(other) == {"global", "g", "from global"}

    assert ask(session, lm_config: mock("e", "from execution")) ==
             {"execution", "e", "from execution"}

    assert ask(session) == {"program", "p", "from program"}

    assert_switched(session, ~w(d g s p e p))
    assert_switched(other, ["g"])
    assert %{"scope" => "program", "lm_id" => _} = assert_answered_by({session, "qa"}, model: "p")
    refute_leaked(session, scopes: [:default, :global, :session, :program, :execution])
    refute_leaked(other)
  end

  test "an override of the temperature alone keeps the LM and its scope", %{
    client: client,
    session: session
  } do
    Client.call!(client, :create_program, qa())
    Session.configure_lm(session, Map.put(mock("s", "from session"), :temperature, 0.7))

    assert ask(session, temperature: 0.1) == {"session", "s", "from session"}

    assert %{"lm" => lm} =
             Client.call!(client, :get_lm, session_id: "s1", options: %{temperature: 0.1})

    assert %{"model" => "s", "params" => %{"temperature" => 0.1}, "patched_by" => ["execution"]} =
             lm

    assert %{"lm" => %{"params" => %{"temperature" => 0.7}}} = Session.call!(session, :get_lm)
  end

  test "a real provider's config is answered by a mock of its name, without a key", context do
    %{client: client, session: session} = context

    Client.call!(client, :configure_lm,
      provider: :google,
      model: "gemini-1.5-flash",
      api_key: "mock-key"
    )

    Client.call!(
      client,
      :create_program,
      qa("creative", lm_config: %{provider: :openai, model: "gpt-4", temperature: 0.9})
    )

    Client.call!(client, :create_program, qa())

    {:ok, first} = Session.execute(session, "qa", @question)
    {:ok, second} = Session.execute(session, "creative", @question)

    {:ok, third} =
      Session.execute(session, "qa", @question,
        lm_config: %{provider: :anthropic, model: "claude-3"}
      )

    assert_answered_by(first,
      provider: :google,
      model: "gemini-1.5-flash",
      scope: :global,
      mocked: true
    )

    assert_answered_by(second, provider: :openai, model: "gpt-4", scope: :program)
    assert_answered_by(third, provider: :anthropic, model: "claude-3", scope: :execution)
    assert_switched(session, ["google/gemini-1.5-flash", "openai/gpt-4", "anthropic/claude-3"])
    assert length(Enum.uniq([first, second, third] |> Enum.map(& &1["answer"]))) == 3
  end

  test "a call that the global LM answered in a session with an LM is a leak", context do
    %{client: client, session: session, other: other} = context
    Client.call!(client, :create_program, qa())
    Client.call!(client, :configure_lm, mock("g", "from global"))
    for each <- [session, other], do: ask(each)
    Session.configure_lm(session, mock("s", "from session"))
    ask(session)

    error = assert_raise ExUnit.AssertionError, fn -> refute_leaked(session) end

    # Calls share their numbers with the changes of who answers, so only their order is told here.
    assert error.message =~
             ~r/call \d+ was answered by scope global \(mock\/g\), although scope session has an LM/

    assert error.message =~ ~r/^> \d+ +global   mock\/g .* answer: "from global"$/m
    assert error.message =~ ~r/^  \d+ +session  mock\/s .* answer: "from session"$/m
    assert [%{"scope" => "global"}] = refute_leaked(other)
  end

  test "an LM given to a session ends with it", %{client: client, session: session} do
    Client.call!(client, :create_program, qa())
    Session.configure_lm(session, mock("s", "hello"))
    assert ask(session) == {"session", "s", "hello"}

    assert {:ok, %{"status" => "cleaned"}} = Session.cleanup(session)
    assert {:error, %Error{code: "no_lm_loaded"}} = ask(session)
    assert calls(session) == []
  end

  test "the LM is decided when the request arrives, not when it runs", %{
    client: client,
    session: session
  } do
    Client.call!(client, :create_program, qa())

    answers =
      for n <- 1..20 do
        Session.configure_lm(session, mock("m#{n}", "answer #{n}"))
        Task.async(fn -> ask(session) end)
      end
      |> Task.await_many(60_000)

    assert answers |> Enum.map(&elem(&1, 1)) |> Enum.all?(&(&1 =~ ~r/^m\d+$/))
    for {"session", "m" <> n, answer} <- answers, do: assert(answer == "answer #{n}")
  end
end
