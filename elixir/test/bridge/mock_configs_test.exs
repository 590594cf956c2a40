defmodule DSPexTestkit.MockConfigsTest do
  @moduledoc "Every config that `DSPexTestkit.MockLM` makes is one that the bridge takes."
  use DSPexTestkit.Case, async: true

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.Error

  setup %{session: session} do
    {:ok, qa} = Session.create_program(session, qa())
    %{qa: qa, ask: fn question -> Session.execute(session, qa, question: question) end}
  end

  test "the three modes", %{session: session, ask: ask} do
    for {mode, question, answer} <- [
          {:deterministic, "What is the capital of France?", ~r/^Paris$/},
          {:random, "?", ~r/^mock_\d{1,4}$/},
          {:scripted, "?", ~r/^mock response 1$/}
        ] do
      config = MockLM.configure_test_lm(mode)

      assert {:ok, %{"status" => "configured", "provider" => "mock"} = configured} =
               Session.configure_lm(session, config)

      refute Map.has_key?(configured, "warnings")
      assert {:ok, %{"answer" => given}} = ask.(question)
      assert given =~ answer
    end
  end

  test "what the bridge ignores fails the test", %{session: session} do
    mistyped = %{provider: :mock, respnses: %{default: "yes"}}

    assert_raise Error, ~r/'respnses' is not known/, fn ->
      Session.configure_lm(session, mistyped)
    end

    assert_raise Error, ~r/'respnses' is not known/, fn ->
      Session.create_program(session, signature: "question -> answer", lm_config: mistyped)
    end

    {:ok, qa} = Session.create_program(session, signature: "question -> answer")

    assert_raise Error, ~r/no option 'temprature' \(did you mean 'temperature'\?\)/, fn ->
      Session.execute(session, qa, [question: "?"], temprature: 0.2)
    end

    assert {:ok, %{"warnings" => [_ignored]}} =
             Session.call(session, :configure_lm, provider: :mock, respnses: 1)
  end

  test "a sampled function answers the inputs it was asked for", %{session: session, ask: ask} do
    generator = fn
      %{question: question} -> "whole: #{question}"
      question -> String.upcase(question)
    end

    inputs = ["paris?", "rome?", %{question: "bonn?"}]

    config =
      MockLM.configure_test_lm(%{provider: :mock, response_generator: generator, inputs: inputs})

    assert {:ok, configured} = Session.configure_lm(session, config)
    refute Map.has_key?(configured, "warnings")

    assert {:ok, %{"answer" => "PARIS?"}} = ask.("paris?")
    assert {:ok, %{"answer" => "ROME?"}} = ask.("rome?")
    assert {:ok, %{"answer" => "whole: bonn?"}} = ask.("bonn?")
    assert {:error, %Error{message: text}} = ask.("pariss?")
    assert text =~ "paris?"
  end

  test "a sampled function that ignores its input answers in turn", %{session: session, ask: ask} do
    config =
      MockLM.configure_test_lm(%{provider: :mock, response_generator: &"mock_#{&1}", samples: 2})

    assert {:ok, _configured} = Session.configure_lm(session, config)
    answers = for _call <- 1..3, do: elem(ask.("?"), 1)["answer"]
    assert answers == ["mock_1", "mock_2", "mock_1"]
  end

  test "what a script does after its last answer can be chosen", %{session: session, ask: ask} do
    for {on_exhausted, then} <- [cycle: "a", last: "b"] do
      Session.configure_lm(session, {:scripted, answers: ["a", "b"], on_exhausted: on_exhausted})
      assert [_, _, {:ok, %{"answer" => ^then}}] = for(_call <- 1..3, do: ask.("?"))
    end
  end

  test "a program and an execution take them too", %{session: session} do
    lm = MockLM.configure_test_lm(:scripted, ["of the program"])
    {:ok, id} = Session.create_program(session, qa("own", lm_config: lm))
    assert {:ok, %{"answer" => "of the program"}} = Session.execute(session, id, question: "?")

    once = {:scripted, ["once"]}

    assert {:ok, %{"answer" => "once"} = result} =
             Session.execute(session, id, %{question: "?"}, lm_config: once)

    assert_answered_by(result, scope: :execution)
  end
end
