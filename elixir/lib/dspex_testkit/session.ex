defmodule DSPexTestkit.Session do
  @moduledoc """
  A session of the bridge and the way to it: what `DSPexTestkit.Case` gives each test.

  The way is a *sender*, a function of a command (an atom) and its args (a map with atom keys at the top) that
  answers `{:ok, map}` or `{:error, term}`. `&DSPex.PythonBridge.Bridge.call/2` is one as it stands; for a pool of
  DSPex write

      fn command, args -> SessionPoolV2.execute_in_session(args[:session_id] || "anonymous", command, args) end

  Everything that is sent through a session carries its `session_id`, except what is asked about one program
  (`set_budget/2`, `get_costs/2`) and by `refute_leaked/2`, which has to look at all sessions.

  Where the bridge did what was asked and ignored a part of it, such as a mistyped key, `configure_lm/2`, `define_lm/3`,
  `create_program/2` and `execute/4` raise a `DSPexTestkit.Error` with the code `"bridge_warning"`, so that the test
  fails. `call/3` raises nothing: its result has the texts under `"warnings"`.

  Named LMs and remembered answers belong to the whole bridge, not to a session, and outlive the test: give names that
  no other test uses.
  """

  alias DSPexTestkit.{Error, MockLM, Wire}

  @enforce_keys [:id, :send]
  defstruct @enforce_keys

  @typedoc "Sends one command; see the module's text."
  @type sender :: (atom, map -> {:ok, map} | {:error, term})
  @type t :: %__MODULE__{id: String.t(), send: sender}
  @type result :: {:ok, map} | {:error, Error.t()}

  # Where the process of a test, and the tasks that it starts, find their session.
  @key {__MODULE__, :current}

  @doc "A session with this id; nothing is sent for it."
  @spec new(String.t(), sender) :: t
  def new(id, send) when is_binary(id) and is_function(send, 2),
    do: %__MODULE__{id: id, send: send}

  @doc """
  Sends a command in this session.

  Args are made plain first (`DSPexTestkit.Wire`), so that what cannot travel raises here and not inside the
  process that owns the port. An error of any sender becomes a `DSPexTestkit.Error`.
  """
  @spec call(t, atom, map | keyword) :: result
  def call(%__MODULE__{} = session, command, args \\ %{}) do
    transmit(session.send, command, args |> plain() |> Map.put(:session_id, session.id))
  end

  @doc "As `call/3`, but returns the result itself and raises the error."
  @spec call!(t, atom, map | keyword) :: map
  def call!(session, command, args \\ %{}) do
    case call(session, command, args) do
      {:ok, result} -> result
      {:error, error} -> raise error
    end
  end

  @doc """
  Sends a command by a sender alone and reads its error.

  A sender that exits, because the process that it calls is gone or does not answer, gives an error as well.
  """
  @spec transmit(sender, atom, map) :: result
  def transmit(send, command, args) do
    case send.(command, args) do
      {:ok, result} -> {:ok, result}
      {:error, error} -> {:error, Error.from(error)}
    end
  catch
    :exit, reason -> {:error, Error.from_exit(reason)}
  end

  @doc """
  Gives the session an LM: whatever `DSPexTestkit.MockLM.lm/1` reads.

      DSPexTestkit.Session.configure_lm(session, {:scripted, ["first", "second"]})
      DSPexTestkit.Session.configure_lm(session, "openai/gpt-4o-mini")
  """
  @spec configure_lm(t, MockLM.lm()) :: result
  def configure_lm(session, lm), do: session |> call(:configure_lm, MockLM.lm(lm)) |> whole!()

  @doc """
  Keeps an LM under a name, which then stands for it wherever an LM is written.

      DSPexTestkit.Session.define_lm(session, "fast", provider: :openai, model: "gpt-4o-mini")
      DSPexTestkit.Session.configure_lm(session, %{lm: "fast", temperature: 0})
  """
  @spec define_lm(t, String.t(), MockLM.lm()) :: result
  def define_lm(session, name, lm) do
    session |> call(:define_lm, lm |> MockLM.lm() |> Map.put(:name, name)) |> whole!()
  end

  @doc "Lets a name go; an error while a scope or another named LM refers to it."
  @spec undefine_lm(t, String.t()) :: result
  def undefine_lm(session, name), do: call(session, :undefine_lm, %{name: name})

  @doc "The named LMs, and who refers to each."
  @spec list_lms(t) :: result
  def list_lms(session), do: call(session, :list_lms)

  @doc """
  Limits what the session, or with `:program_id` a program, may spend from now on: `:usd`, `:tokens`, `:calls`.

  Without a limit the budget ends. Over it, executions fail with `"budget_exceeded"` before anything is sent. Write
  money as text, `usd: "0.50"`.
  """
  @spec set_budget(t, map | keyword) :: result
  def set_budget(session, limits), do: call_about(session, :set_budget, Map.new(limits))

  @doc "What the LM calls of the session, or with `:program_id` of a program, came to; see `\"total\"`."
  @spec get_costs(t, map | keyword) :: result
  def get_costs(session, about \\ %{}), do: call_about(session, :get_costs, Map.new(about))

  @doc "Hits, misses, entries and bytes of answers that the bridge remembers, by place."
  @spec get_cache_stats(t) :: result
  def get_cache_stats(session), do: call(session, :get_cache_stats)

  @doc "Forgets remembered answers of the whole bridge: all, or those of one place, `mode: :memory` or `mode: :disk`."
  @spec clear_cache(t, map | keyword) :: result
  def clear_cache(session, args \\ %{}), do: call(session, :clear_cache, args)

  @doc "Creates a program in this session; an id is made up where the definition has none. Returns the id."
  @spec create_program(t, map | keyword) :: {:ok, String.t()} | {:error, Error.t()}
  def create_program(session, definition) do
    definition =
      definition
      |> Map.new()
      |> Map.put_new_lazy(:id, fn -> unique("program") end)
      |> travel_ready()

    with {:ok, %{"program_id" => id}} <- session |> call(:create_program, definition) |> whole!(),
         do: {:ok, id}
  end

  @doc """
  Executes a program with inputs; `opts` may hold `:lm_config`, `:temperature` and the contract's other options.

  Returns the whole result: `"outputs"`, `"lm"`, and the outputs once more at its top.
  """
  @spec execute(t, String.t(), map | keyword, map | keyword) :: result
  def execute(session, program_id, inputs, opts \\ %{}) do
    options = opts |> Map.new() |> travel_ready()
    args = %{program_id: program_id, inputs: Map.new(inputs), options: options}
    session |> call(:execute_program, args) |> whole!()
  end

  @doc "Ends the session in the bridge: its programs, LM, journal and counters go."
  @spec cleanup(t) :: result
  def cleanup(session), do: call(session, :cleanup_session)

  @doc "An id that nobody else in this BEAM has."
  @spec unique(String.t()) :: String.t()
  def unique(prefix), do: "#{prefix}_#{System.unique_integer([:positive])}"

  @doc "Makes the session the one that assertions of this process mean."
  @spec put_current(t) :: t
  def put_current(%__MODULE__{} = session) do
    Process.put(@key, session)
    session
  end

  @doc "The session of this process, or of the test that started it as a task; nil where there is none."
  @spec current() :: t | nil
  def current do
    Process.get(@key) || Enum.find_value(Process.get(:"$callers", []), &session_of/1)
  end

  defp session_of(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {@key, session} <- List.keyfind(dictionary, @key, 0) do
      session
    else
      _ -> nil
    end
  end

  # An output of a program may be called so, and stands at the top too where the bridge warns of nothing.
  defp whole!({:ok, %{"outputs" => %{"warnings" => said}, "warnings" => said}} = result),
    do: result

  defp whole!({:ok, %{"warnings" => [_ | _] = texts}}) do
    raise Error.new("bridge_warning", "the bridge ignored something: #{Enum.join(texts, "; ")}")
  end

  defp whole!(result), do: result

  # A budget and a sum are a session's or a program's; the bridge refuses to be told both.
  defp call_about(session, command, %{program_id: _program} = args) do
    transmit(session.send, command, plain(args))
  end

  defp call_about(session, command, args), do: call(session, command, args)

  defp travel_ready(%{lm_config: lm} = args), do: %{args | lm_config: MockLM.lm(lm)}
  defp travel_ready(args), do: args

  defp plain(args),
    do: Map.new(args, fn {key, value} -> {top_key(key), Wire.plain!(value, [key])} end)

  # DSPex's pools look for atom keys at the top, and add `:session_id` beside whatever is there.
  defp top_key(key) when is_atom(key), do: key

  defp top_key(key) when is_binary(key) do
    raise ArgumentError,
          "write the args' top-level keys as atoms: #{key}: instead of #{inspect(key)}"
  end
end
