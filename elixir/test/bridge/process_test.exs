defmodule DSPexTestkit.ProcessTest do
  @moduledoc "The bridge process behind a bare port: what it survives, and when it ends."
  use ExUnit.Case, async: true

  import DSPexTestkit.Test.RawPort
  alias DSPexTestkit.Test.Wait

  @modes [:standalone, :pool_worker]

  for mode <- @modes do
    describe "a #{mode} bridge" do
      @describetag mode: mode

      test "echoes any integer id, 0 and large ones too", %{mode: mode} do
        port = open(mode: mode)

        for id <- [0, 1, 999_999, 2 ** 60] do
          assert %{"id" => ^id, "success" => true, "result" => %{"status" => "ok"}} =
                   request(port, id, "ping")
        end
      end

      test "survives packets that are no requests, and answers those with an id", %{mode: mode} do
        port = open(mode: mode)

        for nonsense <- [
              "",
              "{",
              "[1, 2]",
              "null",
              "42",
              ~s("text"),
              "{}",
              <<0, 255, 254>>,
              <<131, 104, 0>>
            ] do
          send_packet(port, nonsense)
        end

        assert %{"id" => 1, "success" => true} = request(port, 1, "ping")

        for {id, text} <- [
              {2, ~s({"id": 2, "command": "ping", "args": [1]})},
              {3, ~s({"id": 3, "command": 7})},
              {4, ~s({"id": 4})},
              {5, ~s({"id": 5, "command": "ping", "args": {)}
            ] do
          send_packet(port, text)
          assert %{"id" => ^id, "success" => false, "error" => error} = receive_response(port)
          assert is_binary(error)
        end

        for text <- [
              ~s({"id": 6, "command": "ping"}),
              ~s({"id": 6, "command": "ping", "args": null}),
              ~s({"id": 6, "command": "ping", "args": {"session_id": "a", "session_id": "b"}, "more": 1})
            ] do
          send_packet(port, text)
          assert %{"id" => 6, "success" => true} = receive_response(port)
        end
      end

      test "answers shutdown, then exits with status 0 within a second", %{mode: mode} do
        port = open(mode: mode)
        assert %{"success" => true} = request(port, 0, "ping")

        assert %{"id" => 1, "result" => %{"status" => "shutting_down"}} =
                 request(port, 1, "shutdown")

        # The contract's own bound: DSPex closes the port after it.
        assert_receive {^port, {:exit_status, 0}}, 1_000
      end

      test "ends at end of file", %{mode: mode} do
        port = open(mode: mode)
        request(port, 0, "ping")
        os_pid = os_pid(port)

        Port.close(port)
        Wait.until_gone(os_pid)
      end

      test "ends at end of file within a frame", %{mode: mode} do
        port = open(mode: mode, packets: false)
        os_pid = os_pid(port)
        Port.command(port, <<100::32, "half of">>)

        Port.close(port)
        Wait.until_gone(os_pid)
      end

      test "ends when the process that owns its port ends, even normally", %{mode: mode} do
        test = self()
        {owner, monitor} = spawn_monitor(fn -> own_until_told(test, mode) end)
        assert_receive {:os_pid, os_pid}, 30_000
        assert Wait.alive?(os_pid)

        send(owner, :end)
        assert_receive {:DOWN, ^monitor, :process, ^owner, :normal}, 5_000
        Wait.until_gone(os_pid)
      end

      test "exits with status 0 on SIGTERM", %{mode: mode} do
        port = open(mode: mode)
        request(port, 0, "ping")
        System.cmd("sh", ["-c", "kill -TERM #{os_pid(port)}"])
        assert exit_status(port) == 0
      end
    end
  end

  test "a packet that arrives in pieces is one packet" do
    port = open(packets: false)
    payload = ~s({"id": 1, "command": "ping", "args": {"text": "é"}})

    for <<(byte <- <<byte_size(payload)::32, payload::binary>>)>>,
      do: Port.command(port, <<byte>>)

    assert_receive {^port, {:data, <<_size::32, answer::binary>>}}, 30_000
    assert {:ok, %{"id" => 1, "success" => true}} = DSPexTestkit.JSON.decode(answer)
  end

  test "a pool worker answers in the order of the requests" do
    port = open(mode: :pool_worker)

    for {command, id} <- Enum.with_index(~w(ping get_stats nonsense list_programs ping), 1) do
      send_packet(port, ~s({"id": #{id}, "command": "#{command}", "args": {}}))
    end

    assert for(_answer <- 1..5, do: receive_response(port)["id"]) == [1, 2, 3, 4, 5]
  end

  test "the standalone cleanup that DSPex sends with id 999999 is answered, and the bridge lives on" do
    port = open()

    assert %{"id" => 999_999, "result" => %{"status" => "cleaned"}} =
             request(port, 999_999, "cleanup")

    assert %{"id" => 7, "success" => true} = request(port, 7, "ping")
  end

  defp own_until_told(test, mode) do
    port = open(mode: mode)
    request(port, 0, "ping")
    send(test, {:os_pid, os_pid(port)})

    receive do
      :end -> :ok
    end
  end
end
