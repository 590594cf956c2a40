defmodule DSPexTestkit.AssertionsTextTest do
  @moduledoc "What the assertions say when they fail. That they judge a real journal rightly is shown with a bridge."
  use ExUnit.Case, async: true

  import DSPexTestkit.Assertions
  import DSPexTestkit.Test.CannedBridge, only: [session: 2]

  defp failure(fun), do: assert_raise(ExUnit.AssertionError, fun).message

  @two [
    [
      seq: 1,
      scope: "program",
      provider: "openai",
      model: "gpt-4o",
      outputs: %{"answer" => "Paris"}
    ],
    [seq: 2, scope: "session", error: "The script has\n  1 answer"]
  ]

  test "assert_answered_by shows what was expected, what differs, and the calls" do
    session = session("s1", calls: @two)

    assert failure(fn -> assert_answered_by({session, "qa"}, model: "gpt-4o", scope: :program) end) ==
             """
             expected program "qa" of session "s1" to be answered by
               model: "gpt-4o", scope: :program
             but its newest call (>) was answered by
               model: "mock", scope: "session"

               seq  scope    provider/model  program  session  answer
               1    program  openai/gpt-4o   qa       s1       answer: "Paris"
             > 2    session  mock/mock       qa       s1       failed: The script has 1 answer\
             """
  end

  test "assert_answered_by returns the newest call" do
    session = session("s1", calls: @two)
    assert %{"seq" => 2} = assert_answered_by(session, provider: :mock, model: ~r/^mo/)
  end

  test "assert_answered_by says that no LM was called, and where the program ran instead" do
    assert failure(fn -> assert_answered_by({session("s1", []), "qa"}, model: "m") end) ==
             ~s(expected program "qa" of session "s1" to be answered by\n  model: "m"\nbut it called no LM.)

    elsewhere = session("s2", calls: @two)

    assert failure(fn -> assert_answered_by({elsewhere, "qa"}, model: "m") end) =~
             ~r/called no LM\.\nThe program was called outside this session.*\n\n.*seq.*openai\/gpt-4o/s
  end

  test "assert_answered_by judges an execution's result by its own lm" do
    result = %{
      "program_id" => "qa",
      "lm" => %{"provider" => "openai", "model" => "gpt-4o", "scope" => "global"}
    }

    assert %{"scope" => "global"} = assert_answered_by(result, provider: :openai, model: "gpt-4o")

    assert failure(fn -> assert_answered_by(result, scope: :session) end) == """
           expected this execution of "qa" to be answered by
             scope: :session
           but it was answered by
             scope: "global"\
           """
  end

  test "a misspelt key is refused with the nearest one" do
    assert_raise ArgumentError, ~r/no :modle to compare; did you mean :model\?/, fn ->
      assert_answered_by({session("s1", []), "qa"}, modle: "m")
    end
  end

  test "assert_switched shows both orders and marks the calls that took over" do
    calls = for {model, seq} <- Enum.with_index(~w(a a b b), 1), do: [seq: seq, model: model]
    session = session("s1", calls: calls)

    assert [_, _, _, _] = assert_switched({session, "qa"}, ["a", "mock/b"])

    assert failure(fn -> assert_switched(session, ["a", "b", "a"]) end) == """
           expected session "s1" to switch LMs like this
             a → b → a
           but it went
             mock/a → mock/b

             seq  scope    provider/model  program  session  answer
           > 1    session  mock/a          qa       s1       -
             2    session  mock/a          qa       s1       -
           > 3    session  mock/b          qa       s1       -
             4    session  mock/b          qa       s1       -\
           """
  end

  test "assert_switched says when no LM was called, and refuses a switch to the same LM" do
    assert failure(fn -> assert_switched(session("s1", []), ["a"]) end) =~
             "but it went\n  (no LM was called)"

    assert_raise ArgumentError, ~r/names one LM twice in a row/, fn ->
      assert_switched(session("s1", []), ["a", "a"])
    end
  end

  test "refute_leaked names a call that a wider scope answered" do
    session =
      session("s1",
        calls: [[seq: 1], [seq: 2, scope: "global", provider: "openai", model: "gpt-4o"]],
        lms: %{"qa" => %{"scope" => "session"}}
      )

    assert failure(fn -> refute_leaked(session) end) == """
           expected session "s1" to keep its LMs to itself, but
             * call 2 was answered by scope global (openai/gpt-4o), although scope session has an LM

             seq  scope    provider/model  program  session  answer
             1    session  mock/mock       qa       s1       -
           > 2    global   openai/gpt-4o   qa       s1       -\
           """

    assert [_, _] = refute_leaked(session, scopes: [:session, :global])
    assert failure(fn -> refute_leaked(session, scopes: [:session]) end) =~ "allowed were session"
  end

  test "refute_leaked names an LM that answered in another session" do
    session =
      session("s1",
        calls: [[seq: 1, lm_id: "lm_7"], [seq: 2, lm_id: "lm_7", session_id: "s2"]],
        lms: %{"qa" => %{"scope" => "session"}}
      )

    message = failure(fn -> refute_leaked(session) end)

    assert message =~
             ~s|* the LM mock/mock (lm_7) that was given to session "s1" answered for session "s2" as call 2|

    assert message =~ ~r/^> 2 .* s2/m
  end

  test "refute_leaked names a program's LM that answered for another program" do
    session =
      session("s1",
        calls: [
          [seq: 1, scope: "program", lm_id: "lm_7"],
          [seq: 2, scope: "program", lm_id: "lm_7", program_id: "summary"]
        ],
        lms: %{"qa" => %{"scope" => "program"}, "summary" => %{"scope" => "program"}}
      )

    assert failure(fn -> refute_leaked({session, "qa"}) end) =~
             ~s|given to program "qa" answered for program "summary" as call 2|
  end

  test "a program id without a session says how to give one" do
    assert_raise ArgumentError, ~r/this process has no session.*use DSPexTestkit\.Case/, fn ->
      calls("qa")
    end

    assert_raise ArgumentError, ~r/expected a program id/, fn -> calls(:qa) end
  end
end
