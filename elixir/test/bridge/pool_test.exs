defmodule DSPexTestkit.PoolTest do
  @moduledoc "Two pool workers, with sessions."
  use ExUnit.Case, async: true

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Client, Error, Pool, Session}
  alias DSPexTestkit.Test.Wait

  setup context do
    %{pool: start_supervised!({Pool, size: 2, env: context[:env] || []})}
  end

  defp worker_ids(pool, count) do
    for _call <- 1..count, do: elem(Pool.call(pool, :ping), 1)["worker_id"]
  end

  test "two workers answer under their own ids, in turn", %{pool: pool} do
    assert [a, b, a, b] = worker_ids(pool, 4)
    assert a != b
  end

  test "a client waits until a worker is free, first come first served", %{pool: pool} do
    test = self()

    hold = fn name ->
      spawn_link(fn ->
        Pool.run(pool, fn worker ->
          send(test, {name, self(), worker})
          receive do: (:done -> :ok)
        end)
      end)
    end

    hold.(:first)
    assert_receive {:first, first, worker_1}, 5_000
    hold.(:second)
    assert_receive {:second, second, worker_2}, 5_000
    assert worker_1 != worker_2

    third = hold.(:third)

    Wait.until("the third client waits", fn ->
      Process.info(third, :status) == {:status, :waiting}
    end)

    hold.(:fourth)
    refute_received {:third, _pid, _worker}

    send(second, :done)
    assert_receive {:third, third, ^worker_2}, 5_000
    send(first, :done)
    assert_receive {:fourth, fourth, ^worker_1}, 5_000
    for pid <- [third, fourth], do: send(pid, :done)
  end

  test "sessions on one worker do not see each other's LM or programs", %{pool: pool} do
    Pool.run(pool, fn worker ->
      [a, b] = for id <- ["a", "b"], do: Session.new(id, &Client.call(worker, &1, &2))

      for session <- [a, b] do
        assert {:ok, _} =
                 Session.configure_lm(
                   session,
                   mock("lm-#{session.id}", "answer of #{session.id}")
                 )

        assert {:ok, "qa"} = Session.create_program(session, qa())
      end

      for session <- [a, b] do
        assert {:ok, %{"answer" => answer, "lm" => lm}} =
                 Session.execute(session, "qa", question: "?")

        assert answer == "answer of #{session.id}"
        assert lm["model"] == "lm-#{session.id}"
        assert %{"programs" => [%{"id" => "qa"}]} = Session.call!(session, :list_programs)
        assert [%{"worker_id" => worker_id}] = DSPexTestkit.Assertions.calls(session)
        assert worker_id == Client.info(worker).worker_id
      end

      Session.cleanup(a)
      assert {:error, %Error{code: "program_not_found"}} = Session.execute(a, "qa", question: "?")
      assert {:ok, %{"answer" => "answer of b"}} = Session.execute(b, "qa", question: "?")
    end)
  end

  # Without the warm host a worker knows what it was told itself, and nothing else.
  @tag env: [
         {"DSPEX_TESTKIT_HOST", "off"},
         {"DSPEX_TESTKIT_DEFAULT_LM", ~s({"provider":"mock","responses":{"default":"rebuilt"}})}
       ]
  test "a program travels to the other worker in program_data, as DSPex's pool sends it", %{
    pool: pool
  } do
    keys =
      ~w(program_id signature_def signature_class field_mapping fallback_used program_type signature)

    {:ok, created} = Pool.call(pool, :create_program, Map.put(qa(), :session_id, "s"))

    stored =
      created
      |> Map.take(keys)
      |> Map.merge(%{"created_at" => 1, "execution_count" => 0, "last_executed" => nil})

    # The worker that has been idle longest is the one that does not know the program.
    assert {:ok, %{"programs" => []}} = Pool.call(pool, :list_programs, %{session_id: "s"})
    assert [_] = worker_ids(pool, 1)

    assert {:ok, %{"answer" => "rebuilt"}} =
             Pool.call(pool, :execute_program, %{
               program_id: "qa",
               inputs: %{question: "?"},
               options: [],
               session_id: "s",
               program_data: stored
             })
  end

  test "an error of one client leaves the others alone", %{pool: pool} do
    answers =
      1..6
      |> Task.async_stream(
        fn n -> Pool.call(pool, if(rem(n, 2) == 0, do: :ping, else: :invalid_command)) end,
        timeout: 60_000
      )
      |> Enum.map(fn {:ok, {outcome, _answer}} -> outcome end)

    assert answers == [:error, :ok, :error, :ok, :error, :ok]
  end

  test "a client that dies gives its worker back", %{pool: pool} do
    test = self()

    for _client <- 1..2 do
      {pid, monitor} =
        spawn_monitor(fn ->
          Pool.run(pool, fn worker -> send(test, {:has, worker}) && Process.sleep(:infinity) end)
        end)

      assert_receive {:has, _worker}, 5_000
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 5_000
    end

    assert [_, _] = pool |> worker_ids(2) |> Enum.uniq()
  end

  @tag env: [{"DSPEX_TESTKIT_ALLOW_CRASH", "1"}]
  test "a worker that dies is replaced", %{pool: pool} do
    before = worker_ids(pool, 2)
    assert {:error, %Error{code: "bridge_exited"}} = Pool.call(pool, :crash_worker)

    Wait.until("there are two workers, one of them new", fn ->
      now = pool |> worker_ids(2) |> Enum.uniq()
      length(now) == 2 and length(now -- before) == 1
    end)
  end

  test "stop ends every worker with status 0", %{pool: pool} do
    os_pids = for _worker <- 1..2, do: Pool.run(pool, &Client.info(&1).os_pid)
    assert Pool.stop(pool, grace: 30_000) == [{:exited, 0}, {:exited, 0}]
    Enum.each(os_pids, &Wait.until_gone/1)
  end
end
