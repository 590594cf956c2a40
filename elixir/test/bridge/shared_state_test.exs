defmodule DSPexTestkit.SharedStateTest do
  @moduledoc "What one worker of a pool is told, its siblings know, and no other pool: the warm host keeps them apart."
  use ExUnit.Case, async: true

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Assertions, Client, Error, Pool, Session}

  setup do
    %{pool: start_supervised!({Pool, size: 2})}
  end

  # Runs with both workers of the pool checked out, so that it is known who does what.
  defp with_both(pool, fun) do
    Pool.run(pool, fn one -> Pool.run(pool, fn other -> fun.(one, other) end) end)
  end

  for {name, args} <- [
        {"without a session", Macro.escape(%{})},
        {"with the session anonymous", Macro.escape(%{session_id: "anonymous"})},
        {"with a named session", Macro.escape(%{session_id: "alice"})}
      ] do
    test "created on one worker #{name}: executed, listed, described and deleted on the other", %{
      pool: pool
    } do
      args = unquote(args)

      with_both(pool, fn one, other ->
        assert {:ok, %{"program_id" => "qa"}} =
                 Client.call(
                   one,
                   :create_program,
                   Map.merge(qa("qa", lm_config: mock("m", "Ada")), args)
                 )

        asked = Map.merge(%{program_id: "qa", inputs: %{question: "?"}}, args)

        assert {:ok, %{"outputs" => %{"answer" => "Ada"}}} =
                 Client.call(other, :execute_program, asked)

        assert {:ok, %{"programs" => [%{"id" => "qa", "execution_count" => 1}]}} =
                 Client.call(other, :list_programs, args)

        assert {:ok, %{"program_id" => "qa"}} = Client.call(other, :get_program_info, asked)
        assert {:ok, %{"status" => "deleted"}} = Client.call(other, :delete_program, asked)

        assert {:error, %Error{code: "program_not_found"}} =
                 Client.call(one, :execute_program, asked)
      end)
    end
  end

  test "an LM configured on one worker answers on the other, globally and for a session", %{
    pool: pool
  } do
    with_both(pool, fn one, other ->
      Client.call!(one, :configure_lm, mock("global", "of all"))
      Client.call!(one, :configure_lm, Map.put(mock("own", "of alice"), :session_id, "alice"))
      Client.call!(other, :create_program, qa())
      asked = %{program_id: "qa", inputs: %{question: "?"}}

      assert %{"answer" => "of all", "lm" => %{"scope" => "global"}} =
               Client.call!(other, :execute_program, asked)

      assert %{"answer" => "of alice", "lm" => %{"scope" => "session"}} =
               Client.call!(other, :execute_program, Map.put(asked, :session_id, "alice"))
    end)
  end

  test "a script goes on where the other worker left it", %{pool: pool} do
    with_both(pool, fn one, other ->
      script = for n <- 1..4, do: %{answer: "answer #{n}"}
      Client.call!(one, :configure_lm, %{provider: :mock, script: script})
      Client.call!(one, :create_program, qa())

      answers =
        for worker <- [one, other, other, one] do
          Client.call!(worker, :execute_program, %{program_id: "qa", inputs: %{question: "?"}})[
            "answer"
          ]
        end

      assert answers == for(n <- 1..4, do: "answer #{n}")
    end)
  end

  test "fifty sessions at once on a pool of two keep their LMs and programs apart", %{pool: pool} do
    1..50
    |> Task.async_stream(
      fn n ->
        # Each call may go to either worker.
        session = Session.new("session #{n}", &Pool.call(pool, &1, &2))
        {:ok, _} = Session.configure_lm(session, mock("lm-#{n}", "answer #{n}"))
        {:ok, "qa"} = Session.create_program(session, qa())

        answers =
          for _ask <- 1..4, do: elem(Session.execute(session, "qa", question: "?"), 1)["answer"]

        {n, answers, Assertions.calls(session)}
      end,
      max_concurrency: 50,
      timeout: 60_000
    )
    |> Enum.each(fn {:ok, {n, answers, calls}} ->
      assert Enum.uniq(answers) == ["answer #{n}"]
      assert length(calls) == 4
      assert Enum.uniq(Enum.map(calls, & &1["model"])) == ["lm-#{n}"]
    end)

    assert %{"total_count" => 50} = elem(Pool.call(pool, :list_programs), 1)
  end

  test "a reset on one worker empties the other", %{pool: pool} do
    with_both(pool, fn one, other ->
      Client.call!(one, :create_program, qa())
      Client.call!(other, :reset_state)
      assert %{"programs" => []} = Client.call!(one, :list_programs)
    end)
  end

  test "a worker without the host shares nothing", %{pool: pool} do
    alone =
      start_supervised!({Client, mode: :pool_worker, env: [{"DSPEX_TESTKIT_HOST", "off"}]},
        id: :alone
      )

    {:ok, _} = Pool.call(pool, :create_program, qa())
    assert %{"programs" => []} = Client.call!(alone, :list_programs)
  end

  test "two pools of one BEAM know nothing of each other, unless they have one name", %{
    pool: pool
  } do
    {:ok, _} = Pool.call(pool, :create_program, qa())
    stranger = start_supervised!({Pool, size: 1}, id: :stranger)
    {:ok, _} = Pool.call(stranger, :reset_state)
    assert {:ok, %{"programs" => []}} = Pool.call(stranger, :list_programs)
    assert {:ok, %{"programs" => [%{"id" => "qa"}]}} = Pool.call(pool, :list_programs)

    [one, other] =
      for id <- [:one, :other] do
        start_supervised!({Pool, size: 1, env: [{"DSPEX_TESTKIT_POOL", "ours"}]}, id: id)
      end

    {:ok, _} = Pool.call(one, :create_program, qa())
    assert {:ok, %{"programs" => [%{"id" => "qa"}]}} = Pool.call(other, :list_programs)
  end
end
