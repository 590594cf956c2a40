defmodule DSPexTestkit.Pool do
  @moduledoc """
  A few pool workers, handed out in the order of asking.

  Only what a test of two workers needs: workers start one after the other, a worker serves one client at a time,
  a client that dies gives its worker back, and a worker that dies is replaced. Like DSPex's V2 pool, any worker may get any session.

  The workers share programs, sessions, LMs, cassettes and the journal, by way of the warm host; another pool sees nothing of it,
  unless `:env` or the environment gives both one `DSPEX_TESTKIT_POOL`.

      {:ok, pool} = DSPexTestkit.Pool.start_link(size: 2)
      {:ok, result} = DSPexTestkit.Pool.call(pool, :ping, %{session_id: "a"})
  """

  use GenServer, restart: :temporary

  alias DSPexTestkit.{Client, Error}

  @pool "DSPEX_TESTKIT_POOL"

  @doc "Starts `:size` workers (default 2); the other options are those of `DSPexTestkit.Client.start_link/1`."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts \\ []) do
    {server_opts, opts} = Keyword.split(opts, [:name])
    GenServer.start_link(__MODULE__, opts, server_opts)
  end

  @doc "Runs a function with a worker checked out."
  @spec run(GenServer.server(), (pid -> result)) :: result when result: var
  def run(pool, fun) do
    {ref, client} = GenServer.call(pool, :checkout, :infinity)

    try do
      fun.(client)
    after
      GenServer.cast(pool, {:checkin, ref})
    end
  end

  @doc "Sends one command to the worker that has been idle longest."
  @spec call(GenServer.server(), Client.command(), map, keyword) :: Client.result()
  def call(pool, command, args \\ %{}, opts \\ []) do
    run(pool, &Client.call(&1, command, args, opts))
  end

  @doc "Stops every worker (`DSPexTestkit.Client.stop/2`), then the pool; returns what each answered."
  @spec stop(GenServer.server(), keyword) :: [
          {:exited, non_neg_integer} | :closed | {:error, Error.t()}
        ]
  def stop(pool, opts \\ []) do
    answers = GenServer.call(pool, {:stop_workers, opts}, :infinity)
    GenServer.stop(pool)
    answers
  end

  @impl GenServer
  def init(opts) do
    Process.flag(:trap_exit, true)
    {size, worker_opts} = Keyword.pop(opts, :size, 2)

    worker_opts =
      Keyword.merge(worker_opts, mode: :pool_worker, env: with_own_state(worker_opts[:env] || []))

    state = %{
      opts: worker_opts,
      idle: :queue.new(),
      waiting: :queue.new(),
      busy: %{},
      stopping: false
    }

    Enum.reduce_while(1..size, {:ok, state}, fn _n, {:ok, state} ->
      case Client.start_link(worker_opts) do
        {:ok, client} -> {:cont, {:ok, %{state | idle: :queue.in(client, state.idle)}}}
        {:error, error} -> {:halt, {:stop, error}}
      end
    end)
  end

  @impl GenServer
  def handle_call(:checkout, from, state) do
    {:noreply, serve(%{state | waiting: :queue.in(from, state.waiting)})}
  end

  def handle_call({:stop_workers, opts}, _from, state) do
    workers = :queue.to_list(state.idle) ++ Map.values(state.busy)
    {:reply, Enum.map(workers, &Client.stop(&1, opts)), %{state | stopping: true}}
  end

  @impl GenServer
  def handle_cast({:checkin, ref}, state) do
    Process.demonitor(ref, [:flush])
    {:noreply, give_back(state, ref)}
  end

  @impl GenServer
  def handle_info({:DOWN, ref, :process, _pid, _reason}, state),
    do: {:noreply, give_back(state, ref)}

  def handle_info({:EXIT, client, _reason}, state) do
    owned? = :queue.member(client, state.idle) or client in Map.values(state.busy)

    cond do
      not owned? or state.stopping -> {:noreply, state}
      true -> replace(client, state)
    end
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp with_own_state(env) do
    named? = fn {name, _value} -> to_string(name) == @pool end

    if System.get_env(@pool) || Enum.any?(env, named?) do
      env
    else
      [{@pool, "pool-#{System.pid()}-#{System.unique_integer([:positive])}"} | Enum.to_list(env)]
    end
  end

  defp serve(state) do
    case {:queue.out(state.waiting), :queue.out(state.idle)} do
      {{{:value, {pid, _tag} = from}, waiting}, {{:value, client}, idle}} ->
        ref = Process.monitor(pid)
        GenServer.reply(from, {ref, client})
        serve(%{state | waiting: waiting, idle: idle, busy: Map.put(state.busy, ref, client)})

      _nobody_waits_or_nobody_is_idle ->
        state
    end
  end

  defp give_back(state, ref) do
    case Map.pop(state.busy, ref) do
      {nil, _busy} -> state
      {client, busy} -> serve(%{state | busy: busy, idle: :queue.in(client, state.idle)})
    end
  end

  defp replace(dead, state) do
    case Client.start_link(state.opts) do
      {:ok, client} ->
        busy = for {ref, worker} <- state.busy, worker != dead, into: %{}, do: {ref, worker}
        idle = :queue.in(client, :queue.delete(dead, state.idle))
        {:noreply, serve(%{state | busy: busy, idle: idle})}

      {:error, error} ->
        {:stop, error, state}
    end
  end
end
