defmodule DSPexTestkit.ManagementTest do
  @moduledoc "Named LMs, ensembles, budgets, costs and remembered answers, as a test uses them."
  use DSPexTestkit.Case, async: true

  alias DSPexTestkit.Error

  setup %{session: session} do
    # Programs' budgets and costs are looked up by id alone.
    {:ok, qa} = Session.create_program(session, signature: "question -> answer")
    %{qa: qa, name: Session.unique("named")}
  end

  describe "a named LM" do
    setup %{session: session, name: name} do
      on_exit(fn -> Session.undefine_lm(session, name) end)
      {:ok, %{"status" => "defined"}} = Session.define_lm(session, name, deterministic("first"))
      :ok
    end

    test "answers wherever its name stands, and its redefinition from then on", context do
      %{session: session, qa: qa, name: name} = context
      {:ok, %{"name" => ^name}} = Session.configure_lm(session, %{lm: name})
      assert {:ok, %{"answer" => "first"}} = Session.execute(session, qa, question: "?")

      {:ok, %{"status" => "redefined"}} =
        Session.define_lm(session, name, deterministic("second"))

      assert {:ok, %{"answer" => "second"}} = Session.execute(session, qa, question: "?")

      {:ok, %{"name" => ^name}} = Session.configure_lm(session, name)
      assert {:ok, %{"answer" => "second"}} = Session.execute(session, qa, question: "?")
    end

    test "is listed with who refers to it, and does not go before they do", context do
      %{session: session, name: name} = context
      {:ok, _configured} = Session.configure_lm(session, %{lm: name})
      assert {:ok, %{"lms" => lms}} = Session.list_lms(session)
      assert %{"used_by" => [_session]} = Enum.find(lms, &(&1["name"] == name))
      assert {:error, %Error{code: "lm_in_use"}} = Session.undefine_lm(session, name)

      {:ok, _configured} = Session.configure_lm(session, :deterministic)
      assert {:ok, %{"status" => "undefined"}} = Session.undefine_lm(session, name)

      assert {:error, %Error{code: "unknown_lm"}} = Session.undefine_lm(session, name)
    end
  end

  describe "an ensemble" do
    test "answers as its members' majority, a named LM and a mode among them", context do
      %{session: session, qa: qa, name: name} = context
      on_exit(fn -> Session.undefine_lm(session, name) end)
      {:ok, _defined} = Session.define_lm(session, name, deterministic("paris."))

      lm =
        MockLM.ensemble(:majority, [
          %{provider: :openai, model: "gpt-4o", responses: %{"default" => "Lyon"}},
          {:deterministic, default: "Paris"},
          name
        ])

      assert {:ok, %{"answer" => "Paris", "lm" => %{"ensemble" => [%{"decided_by" => [1, 2]}]}}} =
               Session.execute(session, qa, [question: "?"], lm_config: lm)
    end

    test "takes the strategy's options, a judge among them", %{session: session, qa: qa} do
      members = [deterministic("Lyon"), deterministic("Paris")]
      judge = MockLM.configure_test_lm(:deterministic, default: "2")
      lm = MockLM.ensemble(:best_of, members, judge: judge, quorum: 2)
      {:ok, %{"provider" => "ensemble"}} = Session.configure_lm(session, lm)
      assert {:ok, %{"answer" => "Paris"}} = Session.execute(session, qa, question: "?")
      assert_answered_by(qa, provider: :ensemble, model: "best_of", scope: :session)
    end

    test "with an unknown strategy is refused by the bridge", %{session: session} do
      assert {:error, %Error{code: "invalid_lm_config", message: text}} =
               Session.configure_lm(session, MockLM.ensemble(:mayority, ["openai/gpt-4o"]))

      assert text =~ "majority"
    end
  end

  describe "costs and budgets" do
    @describetag lm: "openai/gpt-4o-mini"

    test "costs are a session's, or a program's", %{session: session, qa: qa} do
      {:ok, other} = Session.create_program(session, signature: "question -> answer")

      for program <- [qa, qa, other],
          do: {:ok, _} = Session.execute(session, program, question: "?")

      assert {:ok, %{"total" => %{"calls" => 3, "cost" => cost}, "currency" => "USD"}} =
               Session.get_costs(session)

      assert {dollars, ""} = Float.parse(cost)
      assert dollars > 0
      assert {:ok, %{"total" => %{"calls" => 2}}} = Session.get_costs(session, program_id: qa)
    end

    test "a session's budget stops its calls, until it is ended", %{session: session, qa: qa} do
      assert {:ok, %{"status" => "set", "budget" => %{"scope" => "session"}}} =
               Session.set_budget(session, calls: 1, usd: "0.50")

      assert {:ok, _answer} = Session.execute(session, qa, question: "?")

      assert {:error, %Error{code: "budget_exceeded"}} =
               Session.execute(session, qa, question: "?")

      assert {:ok, %{"status" => "removed"}} = Session.set_budget(session, [])
      assert {:ok, _answer} = Session.execute(session, qa, question: "?")
    end

    test "a program's budget stops that program alone", %{session: session, qa: qa} do
      {:ok, other} = Session.create_program(session, signature: "question -> answer")

      assert {:ok, %{"budget" => %{"scope" => "program", "program_id" => ^qa}}} =
               Session.set_budget(session, program_id: qa, calls: 0)

      assert {:error, %Error{code: "budget_exceeded"}} =
               Session.execute(session, qa, question: "?")

      assert {:ok, _answer} = Session.execute(session, other, question: "?")
      assert {:ok, %{"status" => "removed"}} = Session.set_budget(session, program_id: qa)
    end
  end

  defp deterministic(answer), do: MockLM.configure_test_lm(:deterministic, default: answer)
end

defmodule DSPexTestkit.RememberedAnswersTest do
  @moduledoc "Answers that a bridge remembers; its own, as clearing is felt by all sessions."
  use DSPexTestkit.Case, async: true, send: &__MODULE__.send/2

  alias DSPexTestkit.{Client, Error}

  setup_all do
    start_supervised!({Client, name: __MODULE__.Bridge})
    :ok
  end

  def send(command, args), do: Client.call(__MODULE__.Bridge, command, args)

  @tag lm: %{provider: :openai, model: "gpt-4o-mini", cache: :memory, script: ["Paris", "Rome"]}
  test "a config's cache remembers answers until they are cleared", %{session: session} do
    {:ok, qa} = Session.create_program(session, signature: "question -> answer")
    ask = fn -> elem(Session.execute(session, qa, question: "?"), 1)["answer"] end

    assert {ask.(), ask.()} == {"Paris", "Paris"}
    assert {:ok, %{"memory" => %{"hits" => 1, "entries" => 1}}} = Session.get_cache_stats(session)
    assert [%{"cache_hit" => false}, %{"cache_hit" => true, "cost" => "0"}] = calls(qa)

    assert {:ok, %{"entries_cleared" => 1}} = Session.clear_cache(session, mode: :memory)
    assert ask.() == "Rome"
    assert {:error, %Error{code: "invalid_args"}} = Session.clear_cache(session, mode: :ram)
  end
end
