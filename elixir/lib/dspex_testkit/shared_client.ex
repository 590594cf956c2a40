defmodule DSPexTestkit.SharedClient do
  @moduledoc """
  One standalone bridge for the whole test run, started by whoever calls first.

  What `DSPexTestkit.Case` uses where nobody gave it another sender. Its options come from
  `config :dspex_testkit, client: [env: …, timeout: …]`, interpreter and script as in `DSPexTestkit.Launch`.
  It ends with the BEAM; when it died, the next call starts another one.
  """

  alias DSPexTestkit.{Client, Error}

  @doc "A sender (`DSPexTestkit.Session`): sends one command to the shared bridge."
  @spec call(Client.command(), map) :: Client.result()
  def call(command, args) do
    {call_opts, start_opts} =
      :dspex_testkit |> Application.get_env(:client, []) |> Keyword.split([:timeout])

    with {:ok, client} <- ensure_started(start_opts) do
      Client.call(client, command, args, call_opts)
    end
  end

  defp ensure_started(opts) do
    {:ok, _started} = Application.ensure_all_started(:dspex_testkit)
    child = {Client, Keyword.put(opts, :name, __MODULE__)}

    case Process.whereis(__MODULE__) ||
           DynamicSupervisor.start_child(DSPexTestkit.ClientSupervisor, child) do
      client when is_pid(client) -> {:ok, client}
      {:ok, client} -> {:ok, client}
      {:error, {:already_started, client}} -> {:ok, client}
      {:error, %Error{} = error} -> {:error, error}
      {:error, reason} -> {:error, Error.from(reason)}
    end
  end
end
