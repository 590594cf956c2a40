defmodule DSPexTestkit.Test.RawPort do
  @moduledoc """
  A bridge behind a bare port, for what a well-behaved client never sends.

  The process that opens it owns it and receives its messages; the first packet that arrives is taken as the answer,
  as DSPex's V2 client does.
  """

  import ExUnit.Assertions

  alias DSPexTestkit.{JSON, Launch}

  @bound 30_000

  @doc "Opens a bridge; `packets: false` leaves the four bytes of length to the caller."
  def open(opts \\ []) do
    {packets?, opts} = Keyword.pop(opts, :packets, true)
    {:ok, launch} = Launch.new(opts)

    if packets? do
      {:ok, port} = Launch.open(launch)
      port
    else
      options = [:binary, :exit_status, :stream, args: Launch.argv(launch)]
      Port.open({:spawn_executable, launch.python}, options)
    end
  end

  @doc "The operating system's number of the process."
  def os_pid(port) do
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    os_pid
  end

  @doc "Sends a packet as it is."
  def send_packet(port, payload), do: Port.command(port, payload)

  @doc "Sends a request and returns the response to it."
  def request(port, id, command, args \\ %{}) do
    send_packet(port, JSON.encode!(%{id: id, command: command, args: args}))
    receive_response(port)
  end

  @doc "The next response."
  def receive_response(port) do
    assert_receive {^port, {:data, packet}}, @bound
    assert {:ok, response} = JSON.decode(packet)
    response
  end

  @doc "The exit status, once the process has ended."
  def exit_status(port) do
    assert_receive {^port, {:exit_status, status}}, @bound
    status
  end
end
