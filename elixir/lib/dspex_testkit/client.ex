defmodule DSPexTestkit.Client do
  @moduledoc """
  A bridge process behind an Erlang port, opened as DSPex opens it.

  `{:spawn_executable, python}` with `:binary, :exit_status, {:packet, 4}` and DSPex's argv: `SCRIPT` alone, or
  `SCRIPT --mode pool-worker --worker-id worker_<int>_<µs>`. The client starts when the init ping (id 0) is
  answered. Then any number of processes may call at once; answers are told apart by id.

      {:ok, client} = DSPexTestkit.Client.start_link(script: "priv/python/dspy_bridge.py")
      {:ok, %{"status" => "ok"}} = DSPexTestkit.Client.call(client, :ping)
      {:exited, 0} = DSPexTestkit.Client.stop(client)

  The port belongs to the client: when the client ends, however it ends, the bridge reads end of file and ends too.
  When the bridge ends, all waiting callers get `{:error, %DSPexTestkit.Error{code: "bridge_exited"}}` and the client
  stops with the reason `{:shutdown, {:bridge_exited, status}}`.
  """

  use GenServer, restart: :temporary
  require Logger

  alias DSPexTestkit.{Error, JSON, Launch, Packet, Wire}

  @timeout 30_000
  @ping_timeout 10_000
  @grace 1_000
  @init_ping_id 0

  @type client :: GenServer.server()
  @type command :: atom | String.t()
  @type result :: {:ok, map} | {:error, Error.t()}

  @doc """
  Starts a bridge and waits for the answer to its init ping.

  ## Options

    * `:python`, `:script` - see `DSPexTestkit.Launch`
    * `:mode` - `:standalone` (default) or `:pool_worker`
    * `:worker_id` - for a pool worker; made up as DSPex does where absent
    * `:env` - environment variables for the bridge, `nil` unsets one; the rest is inherited from the BEAM. DSPex has
      no such option: there, use `System.put_env/2` before the bridge starts
    * `:cd` - its working directory
    * `:ping_timeout` - milliseconds for the init ping, default #{@ping_timeout}
    * `:json` - see `DSPexTestkit.JSON`
    * `:name` - registers the client
  """
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts \\ []) do
    {server_opts, opts} = Keyword.split(opts, [:name])
    GenServer.start_link(__MODULE__, opts, server_opts)
  end

  @doc "As `start_link/1`, not linked: a bridge that does not start is an error and ends nobody."
  @spec start(keyword) :: GenServer.on_start()
  def start(opts \\ []) do
    {server_opts, opts} = Keyword.split(opts, [:name])
    GenServer.start(__MODULE__, opts, server_opts)
  end

  @doc """
  Sends a command and waits for its answer.

  Raises an `ArgumentError` in the caller, before anything is sent, where `args` hold what cannot travel.
  `:timeout` is in milliseconds, or `:infinity`; default #{@timeout}.
  """
  @spec call(client, command, map | keyword, timeout: timeout) :: result
  def call(client, command, args \\ %{}, opts \\ []) do
    plain = args |> Map.new() |> Wire.plain!()
    timeout = opts |> Keyword.get(:timeout, @timeout) |> timeout!()
    request(client, {:call, to_string(command), plain, timeout})
  end

  @doc "As `call/4`, but returns the result itself and raises the error."
  @spec call!(client, command, map | keyword, timeout: timeout) :: map
  def call!(client, command, args \\ %{}, opts \\ []) do
    case call(client, command, args, opts) do
      {:ok, result} -> result
      {:error, error} -> raise error
    end
  end

  @doc "The launch, the OS process id and the answer to the init ping."
  @spec info(client) :: %{
          launch: Launch.t(),
          os_pid: non_neg_integer | nil,
          worker_id: String.t() | nil,
          ping: map
        }
  def info(client), do: GenServer.call(client, :info)

  @doc """
  Ends the bridge: the `shutdown` command, up to `:grace` milliseconds (default #{@grace}) for the process to exit,
  then closing the port.

  Returns `{:exited, status}`, or `:closed` where the bridge had to be told by end of file.
  """
  @spec stop(client, grace: timeout) :: {:exited, non_neg_integer} | :closed | {:error, Error.t()}
  def stop(client, opts \\ []) do
    request(client, {:stop, opts |> Keyword.get(:grace, @grace) |> timeout!()})
  end

  # A wrong timeout is the caller's mistake; found in the client, it would end the bridge of everybody.
  defp timeout!(:infinity), do: :infinity
  defp timeout!(timeout) when is_integer(timeout) and timeout >= 0, do: timeout

  defp timeout!(other) do
    raise ArgumentError, "expected a number of milliseconds or :infinity, got: #{inspect(other)}"
  end

  defp request(client, message) do
    GenServer.call(client, message, :infinity)
  catch
    :exit, {{:shutdown, {:bridge_exited, status}}, _call} -> {:error, exited(status)}
    :exit, {reason, _call} -> {:error, not_running(client, reason)}
  end

  @impl GenServer
  def init(opts) do
    Process.flag(:trap_exit, true)
    json = JSON.module(opts[:json])

    with {:ok, launch} <- Launch.new(opts),
         {:ok, port} <- Launch.open(launch),
         # Unknown once the process is gone, which the wait for the ping will tell.
         os_pid = port |> Port.info(:os_pid) |> os_pid(),
         {:ok, ping} <- init_ping(port, launch, json, opts[:ping_timeout] || @ping_timeout) do
      {:ok,
       %{
         port: port,
         launch: launch,
         os_pid: os_pid,
         ping: ping,
         json: json,
         pending: %{},
         next_id: @init_ping_id + 1,
         stopping: []
       }}
    else
      {:error, error} -> {:stop, error}
    end
  end

  @impl GenServer
  def handle_call({:call, command, args, timeout}, from, state) do
    case send_request(state, command, args) do
      {:ok, id, state} ->
        timer = start_timer({:timed_out, id}, timeout)
        entry = %{from: from, timer: timer, command: command, timeout: timeout}
        {:noreply, put_in(state.pending[id], entry)}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  def handle_call(:info, _from, state) do
    info = Map.take(state, [:launch, :os_pid, :ping])
    {:reply, Map.put(info, :worker_id, state.launch.worker_id), state}
  end

  def handle_call({:stop, grace}, from, state) do
    case send_request(state, "shutdown", %{"worker_id" => state.launch.worker_id}) do
      {:ok, _id, state} ->
        start_timer(:grace_over, grace)
        {:noreply, %{state | stopping: [from | state.stopping]}}

      {:error, _port_closed} ->
        {:stop, :normal, :closed, state}
    end
  end

  @impl GenServer
  def handle_info({port, {:data, packet}}, %{port: port} = state) do
    case Packet.decode_response(packet, state.json) do
      {:reply, id, outcome} ->
        {:noreply, answer(state, id, outcome)}

      {:malformed, why} ->
        Logger.warning("dropped a packet of the bridge: #{why}")
        {:noreply, state}
    end
  end

  def handle_info({port, {:exit_status, status}}, %{port: port} = state) do
    for from <- state.stopping, do: GenServer.reply(from, {:exited, status})
    {:stop, exit_reason(state, status), fail_pending(state, exited(status))}
  end

  def handle_info({:EXIT, port, reason}, %{port: port} = state) do
    closed = Error.new("bridge_exited", "the port to the bridge was closed: #{inspect(reason)}")
    {:stop, {:shutdown, {:port_closed, reason}}, fail_pending(state, closed)}
  end

  def handle_info({:timed_out, id}, state) do
    case Map.pop(state.pending, id) do
      {nil, _pending} ->
        {:noreply, state}

      {entry, pending} ->
        GenServer.reply(entry.from, {:error, timed_out(entry)})
        {:noreply, %{state | pending: pending}}
    end
  end

  def handle_info(:grace_over, state) do
    for from <- state.stopping, do: GenServer.reply(from, :closed)
    {:stop, :normal, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  # The port closes with its owner, which is how the bridge learns of every other end.
  @impl GenServer
  def terminate(_reason, state) do
    fail_pending(
      state,
      Error.new("not_running", "the client was stopped before the bridge answered")
    )
  end

  defp init_ping(port, launch, json, timeout) do
    args = Launch.ping_args(launch)
    write(port, Packet.encode_request(@init_ping_id, "ping", args, json))

    receive do
      {^port, {:data, packet}} ->
        case Packet.decode_response(packet, json) do
          {:reply, @init_ping_id, {:ok, %{"status" => "ok"} = ping}} -> {:ok, ping}
          other -> {:error, Launch.start_error("the init ping (id 0) got #{inspect(other)}")}
        end

      {^port, {:exit_status, status}} ->
        {:error,
         Launch.start_error(
           "the bridge exited with status #{status} before it answered its init ping. Run " <>
             "`#{Enum.join([launch.python | Launch.argv(launch)], " ")}` by hand to see why, or " <>
             "`dspex-testkit doctor #{Path.dirname(launch.script)}`."
         )}
    after
      timeout ->
        Port.close(port)

        {:error,
         Launch.start_error("the bridge did not answer its init ping within #{timeout} ms")}
    end
  end

  defp send_request(%{next_id: id} = state, command, args) do
    case write(state.port, Packet.encode_request(id, command, args, state.json)) do
      :ok -> {:ok, id, %{state | next_id: id + 1}}
      :closed -> {:error, Error.new("bridge_exited", "the port to the bridge is closed")}
    end
  end

  defp write(port, packet) do
    Port.command(port, packet)
    :ok
  rescue
    # The port closed, and its exit status is still in our mailbox.
    ArgumentError -> :closed
  end

  defp start_timer(_message, :infinity), do: nil
  defp start_timer(message, timeout), do: Process.send_after(self(), message, timeout)

  defp answer(state, id, outcome) do
    case Map.pop(state.pending, id) do
      {nil, _pending} ->
        state

      {entry, pending} ->
        if entry.timer, do: Process.cancel_timer(entry.timer)
        GenServer.reply(entry.from, outcome)
        %{state | pending: pending}
    end
  end

  defp fail_pending(state, error) do
    for {_id, entry} <- state.pending, do: GenServer.reply(entry.from, {:error, error})
    %{state | pending: %{}}
  end

  defp exit_reason(%{stopping: []}, status), do: {:shutdown, {:bridge_exited, status}}
  defp exit_reason(_stopping, _status), do: :normal

  defp exited(status) do
    Error.new("bridge_exited", "the bridge process exited with status #{status}", %{
      status: status
    })
  end

  defp timed_out(entry) do
    Error.new("timeout", "#{entry.command} was not answered within #{entry.timeout} ms", %{
      command: entry.command,
      timeout: entry.timeout
    })
  end

  defp not_running(client, reason) do
    Error.new(
      "not_running",
      "no bridge client is running as #{inspect(client)}: #{inspect(reason)}"
    )
  end

  defp os_pid({:os_pid, os_pid}), do: os_pid
  defp os_pid(nil), do: nil
end
