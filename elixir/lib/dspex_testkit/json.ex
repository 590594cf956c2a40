defmodule DSPexTestkit.JSON do
  @moduledoc """
  The JSON library in use, whichever it is.

  This project has no dependencies, so it takes what its host project has. In order:

    1. `config :dspex_testkit, json: MyJSON`, or the `:json` option of `DSPexTestkit.Client`
    2. `Jason`, which every DSPex project has
    3. `JSON`, part of Elixir from 1.18 on
    4. `:jiffy`, for example Debian's package `erlang-jiffy`

  A module of your own needs `encode!/1` (to iodata) and `decode/1` (to `{:ok, term}` or `{:error, reason}`),
  with maps for objects, text keys and `nil` for null, as Jason has them. It meets plain values only
  (see `DSPexTestkit.Wire`).
  """

  alias DSPexTestkit.Wire

  @candidates [Jason, JSON, :jiffy]

  @doc """
  The module in use.

  Raises a `RuntimeError` that says what to install where there is none, and an `ArgumentError` where a module
  is asked for that is not loaded or lacks a function.
  """
  @spec module(module | nil) :: module
  def module(wanted \\ nil) do
    case wanted || Application.get_env(:dspex_testkit, :json) do
      nil -> Enum.find(@candidates, &usable?/1) || raise(RuntimeError, none_text())
      module -> if usable?(module), do: module, else: raise(ArgumentError, unusable_text(module))
    end
  end

  @doc "Encodes a term (made plain first) as one JSON text."
  @spec encode!(term, module) :: iodata
  def encode!(term, module \\ module()) do
    plain = Wire.plain!(term)

    case module do
      # Without `use_nil` jiffy writes nil as the text "nil".
      :jiffy -> apply(:jiffy, :encode, [plain, [:use_nil]])
      Jason -> apply(Jason, :encode_to_iodata!, [plain])
      JSON -> apply(JSON, :encode_to_iodata!, [plain])
      other -> other.encode!(plain)
    end
  end

  @doc "Decodes one JSON text: objects are maps with text keys, null is `nil`, integers have any size."
  @spec decode(binary, module) :: {:ok, term} | {:error, term}
  def decode(text, module \\ module())

  def decode(text, :jiffy) do
    # Copied strings let go of the packet that they were read from.
    {:ok, apply(:jiffy, :decode, [text, [:return_maps, :use_nil, :copy_strings]])}
  rescue
    # jiffy raises {position, reason}; numbers that no float holds are {range, exponent}.
    error in ErlangError -> {:error, error.original}
    error in ArgumentError -> {:error, error.message}
  end

  def decode(text, module), do: module.decode(text)

  defp usable?(:jiffy), do: exports?(:jiffy, encode: 2, decode: 2)
  defp usable?(module), do: exports?(module, encode!: 1, decode: 1)

  defp exports?(module, functions) do
    Code.ensure_loaded?(module) and
      Enum.all?(functions, fn {name, arity} -> function_exported?(module, name, arity) end)
  end

  defp none_text do
    "no JSON module found: neither Jason, nor Elixir's own JSON (1.18), nor :jiffy is in the code path. " <>
      ~s(Add {:jason, "~> 1.4"} to your deps, or install Debian's erlang-jiffy, ) <>
      "or write `config :dspex_testkit, json: MyJSON` with encode!/1 and decode/1."
  end

  defp unusable_text(module) do
    "the JSON module #{inspect(module)} is not loaded or lacks encode!/1 or decode/1. " <>
      "Check `config :dspex_testkit, json: …` and your deps."
  end
end
