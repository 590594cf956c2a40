defmodule DSPexTestkit.Subject do
  @moduledoc """
  What an assertion is about: one program, or one session, and the session through which to ask.

  | written as | means |
  | --- | --- |
  | `"qa"` | the program `qa` of the session of this test (`DSPexTestkit.Case`); that session's own id means the session |
  | `%DSPexTestkit.Session{}` | everything that was called in this session |
  | `{session, "qa"}` | the program `qa` of that session |
  | `%{"program_id" => "qa"}` | as `"qa"`; what create and execute answer |
  """

  alias DSPexTestkit.{Error, Session}

  @enforce_keys [:session, :program_id]
  defstruct @enforce_keys

  @type t :: %__MODULE__{session: Session.t(), program_id: String.t() | nil}
  @type written :: String.t() | Session.t() | {Session.t(), String.t()} | map

  @doc "Reads a subject; raises an `ArgumentError` where it is none or the test has no session."
  @spec new(written) :: t
  def new(%Session{} = session), do: %__MODULE__{session: session, program_id: nil}

  def new({%Session{} = session, program_id}) when is_binary(program_id) do
    %__MODULE__{session: session, program_id: program_id}
  end

  def new(%{"program_id" => program_id}) when is_binary(program_id), do: new(program_id)

  def new(id) when is_binary(id) do
    case Session.current() do
      %Session{id: ^id} = session -> new(session)
      %Session{} = session -> new({session, id})
      nil -> raise ArgumentError, no_session(id)
    end
  end

  def new(other) do
    raise ArgumentError,
          "expected a program id, a DSPexTestkit.Session, {session, program_id} or a result with " <>
            ~s("program_id", got: #{inspect(other)})
  end

  @doc "The LM calls of the subject, oldest first."
  @spec calls(t) :: [map]
  def calls(%__MODULE__{} = subject) do
    args = if subject.program_id, do: %{program_id: subject.program_id}, else: %{}
    Session.call!(subject.session, :get_journal, args)["calls"]
  end

  @doc "The LM calls of every session that the bridge lets us see, oldest first."
  @spec all_calls(t) :: [map]
  def all_calls(%__MODULE__{session: session}) do
    case Session.transmit(session.send, :get_journal, %{}) do
      {:ok, %{"calls" => calls}} -> calls
      {:error, %Error{} = error} -> raise error
    end
  end

  @doc "The LM that would answer now, with the scope that says so; nil where none would."
  @spec lm(t) :: map | nil
  def lm(%__MODULE__{} = subject) do
    args = if subject.program_id, do: %{program_id: subject.program_id}, else: %{}

    case Session.call(subject.session, :get_lm, args) do
      {:ok, %{"lm" => lm}} -> lm
      # The program is gone; its calls are still in the journal.
      {:error, %Error{code: "program_not_found"}} -> lm(%{subject | program_id: nil})
      {:error, error} -> raise error
    end
  end

  @doc "The subject in words."
  @spec describe(t) :: String.t()
  def describe(%__MODULE__{program_id: nil, session: session}),
    do: "session #{inspect(session.id)}"

  def describe(%__MODULE__{program_id: program_id, session: session}) do
    "program #{inspect(program_id)} of session #{inspect(session.id)}"
  end

  defp no_session(id) do
    "this process has no session, so #{inspect(id)} cannot be looked up. Write `use DSPexTestkit.Case`, or give " <>
      "{session, program_id} with a DSPexTestkit.Session."
  end
end
