defmodule DSPexTestkit.Error do
  @moduledoc """
  Why a command was not answered.

  `code` is stable and meant for pattern matching. Those of the bridge arrive on the wire
  (`"program_not_found"`, `"no_lm_loaded"`, `"invalid_args"`, …); those of this side are

  | code | meaning |
  | --- | --- |
  | `"timeout"` | no answer in time; a late one is dropped |
  | `"bridge_exited"` | the process ended; `details.status` is its exit status |
  | `"not_running"` | there is no client process of that name or pid |
  | `"malformed_response"` | the answer was no response of the contract |
  | `"bridge_warning"` | the bridge did what was asked and ignored a part of it (`DSPexTestkit.Session`) |
  | `"start_failed"` | the process could not be started, or did not answer its first ping |

  `message` is the bridge's text as it came, with `[code]` at its end, as stock DSPex sees it.
  """

  defexception [:code, :message, details: %{}]

  @type t :: %__MODULE__{code: String.t() | nil, message: String.t(), details: map}

  @gone ~w(bridge_exited not_running)

  @doc "An error of this side."
  @spec new(String.t(), String.t(), map) :: t
  def new(code, message, details \\ %{}) do
    %__MODULE__{code: code, message: message, details: details}
  end

  @doc """
  Reads an error of any sender: our own, a text, or what DSPex's pools wrap around a text.

      iex> DSPexTestkit.Error.from({:communication_error, :python_error, "Program not found: x [program_not_found]", %{}}).code
      "program_not_found"
  """
  @spec from(term) :: t
  def from(%__MODULE__{} = error), do: error

  # What DSPex's single bridge tells callers that were waiting.
  def from("Python process died" = text), do: new("bridge_exited", text)

  def from(text) when is_binary(text) do
    code =
      case Regex.run(~r/\[([a-z][a-z0-9_]*)\]\s*$/, text) do
        [_all, code] -> code
        nil -> nil
      end

    new(code, text)
  end

  def from({_kind, :port_exited, text, _context}) when is_binary(text),
    do: new("bridge_exited", text)

  def from({_kind, :command_timeout, text, _context}) when is_binary(text),
    do: new("timeout", text)

  def from({_kind, _reason, text, _context}) when is_binary(text), do: from(text)
  def from(:timeout), do: new("timeout", "the bridge did not answer in time")
  def from(:bridge_not_running), do: new("not_running", "the bridge is not running")
  def from(other), do: new(nil, inspect(other))

  @doc "Reads the reason of an exit that a sender's `GenServer.call/3` ended in."
  @spec from_exit(term) :: t
  def from_exit({:timeout, _call}), do: from(:timeout)

  def from_exit({reason, {module, :call, _args}}) when is_atom(module) do
    new("not_running", "the process that the sender calls is not there: #{inspect(reason)}")
  end

  def from_exit(reason), do: new("not_running", "the sender exited: #{inspect(reason)}")

  @doc "Whether the process behind the sender is gone, and its state with it."
  @spec gone?(t) :: boolean
  def gone?(%__MODULE__{code: code}), do: code in @gone
end
