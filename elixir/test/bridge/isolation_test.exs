# Fifty tests in ten modules that run at the same time, on one bridge, all with the same program id. Each has a
# script of its own, and sees only its own LM, program, journal and script position.
for group <- 1..10 do
  defmodule Module.concat(DSPexTestkit.IsolationTest, "Group#{group}") do
    use DSPexTestkit.Case, async: true

    import DSPexTestkit.Test.Programs

    for member <- 1..5 do
      name = "#{group}.#{member}"

      @tag lm: %{
             provider: :mock,
             mode: :scripted,
             model: "lm-#{name}",
             answers: for(n <- 1..4, do: "#{name} says #{n}")
           }
      test "test #{name} has the bridge to itself", %{session: session} do
        name = unquote(name)
        {:ok, "qa"} = Session.create_program(session, qa())

        for n <- 1..3 do
          assert {:ok, %{"answer" => answer}} =
                   Session.execute(session, "qa", question: "the same of everybody")

          assert answer == "#{name} says #{n}"
        end

        assert %{"total_count" => 1} = Session.call!(session, :list_programs)
        assert %{"lm" => %{"model" => "lm-" <> ^name}} = Session.call!(session, :get_lm)

        assert [1, 2, 3] =
                 for(
                   call <- calls("qa"),
                   do: call["outputs"]["answer"] |> String.last() |> String.to_integer()
                 )

        assert_answered_by("qa", model: "lm-#{name}", session_id: session.id, scope: :session)
        assert_switched(session, ["lm-#{name}"])
        refute_leaked(session)

        # The same LM again is a new assignment, and begins its script anew.
        lm = %{
          provider: :mock,
          mode: :scripted,
          model: "again-#{name}",
          answers: ["#{name} anew"]
        }

        {:ok, _configured} = Session.configure_lm(session, lm)

        assert {:ok, %{"answer" => answer}} =
                 Session.execute(session, "qa", question: "the same of everybody")

        assert answer == "#{name} anew"
        assert_switched("qa", ["lm-#{name}", "again-#{name}"])

        assert {:ok, _cleared} = Session.call(session, :clear_journal)
        assert calls(session) == []
      end
    end
  end
end

defmodule DSPexTestkit.IsolationTest do
  @moduledoc "The same at the same moment: fifty sessions that take turns on one bridge."
  use ExUnit.Case, async: true

  import DSPexTestkit.Assertions
  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Session, SharedClient}

  test "fifty sessions at once keep their scripts, journals and LMs apart" do
    everybody =
      for n <- 1..50,
          do: Session.new(Session.unique("crowd"), &SharedClient.call/2) |> then(&{n, &1})

    at_once = fn fun ->
      everybody |> Enum.map(&Task.async(fn -> fun.(&1) end)) |> Task.await_many(120_000)
    end

    at_once.(fn {n, session} ->
      {:ok, _} =
        Session.configure_lm(
          session,
          {:scripted, answers: ["#{n}a", "#{n}b", "#{n}c"], model: "lm-#{n}"}
        )

      {:ok, "qa"} = Session.create_program(session, qa())
    end)

    for letter <- ~w(a b c) do
      answers =
        at_once.(fn {_n, session} ->
          elem(Session.execute(session, "qa", question: "?"), 1)["answer"]
        end)

      assert answers == for({n, _session} <- everybody, do: "#{n}#{letter}")
    end

    at_once.(fn {n, session} ->
      assert for(call <- calls({session, "qa"}), do: call["outputs"]["answer"]) == [
               "#{n}a",
               "#{n}b",
               "#{n}c"
             ]

      assert_switched(session, ["mock/lm-#{n}"])
      refute_leaked(session)
      {:ok, %{"programs_removed" => 1}} = Session.cleanup(session)
    end)

    for {_n, session} <- everybody, do: assert(calls(session) == [])
  end
end
