defmodule DSPexTestkit.ClientTest do
  @moduledoc "The port client against a real bridge process."
  use ExUnit.Case, async: true

  import DSPexTestkit.Test.Programs
  alias DSPexTestkit.{Client, Error}
  alias DSPexTestkit.Test.Wait

  describe "start" do
    test "waits for the answer to the init ping, whose id is 0" do
      client = start_supervised!(Client)
      assert %{ping: %{"status" => "ok", "mode" => "standalone"} = ping} = Client.info(client)
      assert is_float(ping["uptime"])
      assert ping["dspy_available"] == true
    end

    test "gives a pool worker the argv that DSPex gives it" do
      client = start_supervised!({Client, mode: :pool_worker})
      assert %{launch: launch, worker_id: worker_id, ping: ping} = Client.info(client)

      assert ["--mode", "pool-worker", "--worker-id", ^worker_id] =
               tl(DSPexTestkit.Launch.argv(launch))

      assert worker_id =~ ~r/^worker_\d+_\d+$/
      assert %{"mode" => "pool-worker", "worker_id" => ^worker_id} = ping
    end

    test "a missing interpreter or script is an error that says what to set" do
      assert {:error, %Error{code: "start_failed", message: text}} =
               Client.start(python: "no-such-python")

      assert text =~ ~s("no-such-python" was not found) and
               text =~ "DSPEX_TESTKIT_PYTHON_EXECUTABLE"

      assert {:error, %Error{code: "start_failed", message: text}} =
               Client.start(script: "no/such/dspy_bridge.py")

      assert text =~ "there is no bridge script" and text =~ "dspex-testkit install DIR"
    end

    @tag :tmp_dir
    test "a script that ends at once is an error with its status", %{tmp_dir: dir} do
      script = Path.join(dir, "dspy_bridge.py")
      File.write!(script, "raise SystemExit(3)")

      assert {:error, %Error{code: "start_failed", message: text}} = Client.start(script: script)
      assert text =~ "exited with status 3 before it answered its init ping"
      assert text =~ "dspex-testkit doctor"
    end

    @tag :tmp_dir
    test "an answer to another id than 0 is no answer to the init ping", %{tmp_dir: dir} do
      assert {:error, %Error{code: "start_failed", message: text}} =
               Client.start(script: one_answer(dir, 1))

      assert text =~ "the init ping (id 0) got {:reply, 1,"
    end

    @tag :tmp_dir
    test "a script that never answers is an error after the time limit", %{tmp_dir: dir} do
      script = Path.join(dir, "dspy_bridge.py")
      File.write!(script, "import sys; sys.stdin.read()")

      assert {:error, %Error{code: "start_failed", message: text}} =
               Client.start(script: script, ping_timeout: 50)

      assert text =~ "did not answer its init ping within 50 ms"
    end

    test "environment variables reach the bridge, and only that one" do
      lm = ~s({"provider": "mock", "model": "from-env", "responses": {"default": "hello"}})
      client = start_supervised!({Client, env: %{"DSPEX_TESTKIT_DEFAULT_LM" => lm}})

      assert %{"lm" => %{"model" => "from-env", "scope" => "default"}} =
               Client.call!(client, :get_lm)

      assert System.get_env("DSPEX_TESTKIT_DEFAULT_LM") == nil
    end
  end

  describe "call" do
    setup do
      %{client: start_supervised!(Client)}
    end

    test "takes commands as atoms or texts, and args as maps or keywords", %{client: client} do
      assert {:ok, %{"status" => "ok"}} = Client.call(client, :ping)
      assert {:ok, %{"programs" => []}} = Client.call(client, "list_programs", session_id: "s")
    end

    test "an error answer carries the bridge's text and code, and the next call works", %{
      client: client
    } do
      assert {:error, %Error{code: "unknown_command", message: text}} = Client.call(client, :pnig)
      assert text =~ ~r/Unknown command: pnig.*\[unknown_command\]$/

      assert_raise Error, ~r/Program not found: nope/, fn ->
        Client.call!(client, :delete_program, program_id: "nope")
      end

      assert {:ok, %{"status" => "ok"}} = Client.call(client, :ping)
    end

    test "what cannot travel raises in the caller and leaves the client alone", %{client: client} do
      assert_raise ArgumentError, ~r/at inputs\.pid: /, fn ->
        Client.call(client, :execute_program, %{program_id: "x", inputs: %{pid: self()}})
      end

      assert {:ok, %{"status" => "ok"}} = Client.call(client, :ping)
    end

    test "200 concurrent calls each get their own answer", %{client: client} do
      answers = for n <- 1..200, into: %{}, do: {"question #{n}", "answer #{n}"}
      Client.call!(client, :configure_lm, %{provider: :mock, responses: answers})
      Client.call!(client, :create_program, qa())

      ask = fn {question, answer} ->
        result =
          Client.call!(client, :execute_program, program_id: "qa", inputs: %{question: question})

        {answer, result["outputs"]["answer"]}
      end

      results =
        answers |> Task.async_stream(ask, max_concurrency: 200, timeout: 60_000) |> Enum.to_list()

      assert length(results) == 200
      for {:ok, {wanted, given}} <- results, do: assert(given == wanted)
    end

    test "a call that takes too long is an error for its caller only", %{client: client} do
      slow = Map.put(mock("slow", "late"), :latency_ms, 300)
      Client.call!(client, :configure_lm, slow)
      Client.call!(client, :create_program, qa())

      # The answer cannot be there before it is waited for no longer.
      assert {:error, %Error{code: "timeout", details: %{timeout: 1}}} =
               Client.call(client, :execute_program, [program_id: "qa", inputs: %{question: "?"}],
                 timeout: 1
               )

      assert {:ok, %{"answer" => "late"}} =
               Client.call(client, :execute_program, program_id: "qa", inputs: %{question: "?"})
    end
  end

  describe "a timeout" do
    setup do
      %{client: start_supervised!(Client)}
    end

    test "may be :infinity", %{client: client} do
      assert {:ok, %{"status" => "ok"}} = Client.call(client, :ping, %{}, timeout: :infinity)
      assert {:exited, 0} = Client.stop(client, grace: :infinity)
    end

    test "that is none raises in the caller and leaves the client alone", %{client: client} do
      for wrong <- [-1, "5", 1.5, nil] do
        assert_raise ArgumentError, ~r/number of milliseconds or :infinity/, fn ->
          Client.call(client, :ping, %{}, timeout: wrong)
        end
      end

      assert {:ok, %{"status" => "ok"}} = Client.call(client, :ping)
    end
  end

  describe "end" do
    test "everybody who stops a client hears how it went" do
      client = start_supervised!(Client)
      stops = for _caller <- 1..3, do: Task.async(fn -> Client.stop(client, grace: 30_000) end)

      for answer <- Task.await_many(stops, 60_000) do
        assert answer == {:exited, 0} or match?({:error, %Error{code: "not_running"}}, answer)
      end
    end

    @tag :tmp_dir
    test "a port that is closed fails those who wait for the bridge", %{tmp_dir: dir} do
      {:ok, client} = Client.start(script: one_answer(dir, 0))
      {:links, links} = Process.info(client, :links)
      waiting = Task.async(fn -> Client.call(client, :get_stats) end)
      Wait.until("the request is sent", fn -> map_size(:sys.get_state(client).pending) == 1 end)

      for port <- links, is_port(port), do: Process.exit(port, :kill)

      assert {:error, %Error{code: "bridge_exited", message: text}} = Task.await(waiting)
      assert text =~ "port"
    end

    test "stop ends the bridge by its own command, with status 0" do
      for mode <- [:standalone, :pool_worker] do
        client = start_supervised!({Client, mode: mode}, id: mode)
        os_pid = Client.info(client).os_pid

        assert Client.stop(client, grace: 30_000) == {:exited, 0}
        Wait.until_gone(os_pid)
        refute Process.alive?(client)
      end
    end

    test "a stopped client answers with an error" do
      client = start_supervised!(Client)
      Client.stop(client)
      assert {:error, %Error{code: "not_running"}} = Client.call(client, :ping)
      assert {:error, %Error{code: "not_running"}} = Client.stop(client)
    end

    @tag :tmp_dir
    test "stop closes the port of a bridge that ignores the command", %{tmp_dir: dir} do
      client = start_supervised!({Client, script: one_answer(dir, 0)})
      os_pid = Client.info(client).os_pid
      assert Client.stop(client, grace: 50) == :closed
      Wait.until_gone(os_pid)
    end

    test "a bridge that dies fails its waiting callers and says with which status" do
      client = start_supervised!({Client, env: [{"DSPEX_TESTKIT_ALLOW_CRASH", "1"}]})
      monitor = Process.monitor(client)

      assert {:error, %Error{code: "bridge_exited", details: %{status: 1}}} =
               Client.call(client, :crash_worker)

      assert_receive {:DOWN, ^monitor, :process, ^client, {:shutdown, {:bridge_exited, 1}}}, 5_000
    end

    test "a client that is killed takes its bridge along" do
      for mode <- [:standalone, :pool_worker] do
        {:ok, client} = Client.start(mode: mode)
        os_pid = Client.info(client).os_pid
        assert Wait.alive?(os_pid)

        Process.exit(client, :kill)
        Wait.until_gone(os_pid)
      end
    end
  end

  # A bridge that says one thing and then nothing until end of file.
  defp one_answer(dir, id) do
    script = Path.join(dir, "dspy_bridge.py")

    File.write!(script, """
    import struct, sys
    answer = b'{"id": #{id}, "success": true, "result": {"status": "ok"}}'
    sys.stdout.buffer.write(struct.pack(">I", len(answer)) + answer)
    sys.stdout.buffer.flush()
    sys.stdin.read()
    """)

    script
  end
end
