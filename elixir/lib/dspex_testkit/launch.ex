defmodule DSPexTestkit.Launch do
  @moduledoc """
  How a bridge process is started: which interpreter, which script, which argv, which environment.

  | what | option | environment variable | application config | else |
  | --- | --- | --- | --- | --- |
  | interpreter | `:python` | `DSPEX_TESTKIT_PYTHON_EXECUTABLE` | `config :dspex_testkit, python: …` | `python3` |
  | script | `:script` | `DSPEX_TESTKIT_SCRIPT` | `config :dspex_testkit, script: …` | the `priv/python/dspy_bridge.py` of the application `:dspex` |

  The option wins, then the variable, then the config.
  """

  alias DSPexTestkit.Error

  @enforce_keys [:python, :script, :mode, :worker_id, :env]
  defstruct @enforce_keys ++ [cd: nil]

  @type mode :: :standalone | :pool_worker
  @type t :: %__MODULE__{
          python: Path.t(),
          script: Path.t(),
          mode: mode,
          worker_id: String.t() | nil,
          env: [{charlist, charlist | false}],
          cd: Path.t() | nil
        }

  @doc "Reads the options of `DSPexTestkit.Client.start_link/1` and checks that both files exist."
  @spec new(keyword) :: {:ok, t} | {:error, Error.t()}
  def new(opts) do
    with {:ok, python} <- find_python(setting(opts, :python) || "python3"),
         {:ok, script} <- find_script(setting(opts, :script) || dspex_script()) do
      mode = Keyword.get(opts, :mode, :standalone)

      {:ok,
       %__MODULE__{
         python: python,
         script: script,
         mode: mode,
         worker_id: if(mode == :pool_worker, do: opts[:worker_id] || worker_id()),
         env: opts |> Keyword.get(:env, []) |> Enum.map(&variable/1),
         cd: opts[:cd]
       }}
    end
  end

  @doc "The arguments after the interpreter, as DSPex's launchers give them."
  @spec argv(t) :: [String.t()]
  def argv(%__MODULE__{mode: :standalone} = launch), do: [launch.script]

  def argv(%__MODULE__{mode: :pool_worker} = launch) do
    [launch.script, "--mode", "pool-worker", "--worker-id", launch.worker_id]
  end

  @doc "Opens the port; the calling process owns it."
  @spec open(t) :: {:ok, port} | {:error, Error.t()}
  def open(%__MODULE__{} = launch) do
    options =
      [:binary, :exit_status, {:packet, 4}, args: argv(launch)] ++
        if(launch.env == [], do: [], else: [env: launch.env]) ++
        if(launch.cd, do: [cd: launch.cd], else: [])

    {:ok, Port.open({:spawn_executable, launch.python}, options)}
  rescue
    error in [ErlangError, ArgumentError] ->
      {:error, start_error("#{launch.python} could not be started: #{Exception.message(error)}")}
  end

  @doc "The arguments of the init ping."
  @spec ping_args(t) :: map
  def ping_args(%__MODULE__{mode: :standalone}), do: %{"initialization" => true}

  def ping_args(%__MODULE__{worker_id: worker_id}) do
    %{"initialization" => true, "worker_id" => worker_id}
  end

  @doc "An error that says why there is no process."
  @spec start_error(String.t()) :: Error.t()
  def start_error(text), do: Error.new("start_failed", text)

  defp setting(opts, :python), do: setting(opts, :python, "DSPEX_TESTKIT_PYTHON_EXECUTABLE")
  defp setting(opts, :script), do: setting(opts, :script, "DSPEX_TESTKIT_SCRIPT")

  defp setting(opts, key, variable) do
    opts[key] || present(System.get_env(variable)) || Application.get_env(:dspex_testkit, key)
  end

  defp present(""), do: nil
  defp present(value), do: value

  defp find_python(python) do
    case System.find_executable(python) do
      nil ->
        {:error,
         start_error(
           "the interpreter #{inspect(python)} was not found. Name one with the option :python, the variable " <>
             "DSPEX_TESTKIT_PYTHON_EXECUTABLE or `config :dspex_testkit, python: …`."
         )}

      path ->
        {:ok, path}
    end
  end

  defp find_script(nil) do
    {:error,
     start_error(
       "no bridge script is named. Run `dspex-testkit install DIR`, then name DIR/dspy_bridge.py with the option " <>
         ":script, the variable DSPEX_TESTKIT_SCRIPT or `config :dspex_testkit, script: …`."
     )}
  end

  defp find_script(script) do
    path = Path.expand(script)

    if File.regular?(path) do
      {:ok, path}
    else
      {:error,
       start_error("there is no bridge script #{path}. `dspex-testkit install DIR` writes one.")}
    end
  end

  defp dspex_script do
    with priv when is_list(priv) <- :code.priv_dir(:dspex),
         path = Path.join(priv, "python/dspy_bridge.py"),
         true <- File.regular?(path) do
      path
    else
      _ -> nil
    end
  end

  defp worker_id do
    "worker_#{System.unique_integer([:positive])}_#{System.os_time(:microsecond)}"
  end

  # nil unsets, as in System.cmd/3.
  defp variable({name, nil}), do: {to_charlist(to_string(name)), false}
  defp variable({name, value}), do: {to_charlist(to_string(name)), to_charlist(to_string(value))}
end
