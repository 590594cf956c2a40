defmodule DSPexTestkit.Wire do
  @moduledoc """
  Elixir terms as plain JSON values.

  JSON libraries disagree about atoms, tuples, keyword lists and structs, and those that raise do so inside the
  process that owns the port. So everything that is sent is made plain first, in the caller, by one set of rules:

  | term | JSON |
  | --- | --- |
  | `nil`, booleans, numbers, valid UTF-8 binaries | themselves |
  | other atoms | text (`:mock` is `"mock"`) |
  | maps | object; atom, text and number keys become text |
  | non-empty keyword lists | object |
  | lists, tuples, `MapSet`s (sorted) | array |
  | `Regex` | `{"regex": source}`, its options inline: `~r/paris/i` is `(?i)paris` |
  | `Date`, `Time`, `NaiveDateTime`, `DateTime` | ISO 8601 text |
  | `Decimal` | text |

  Functions, pids, references, ports, other structs and binaries that are no text cannot travel; they raise
  an `ArgumentError` that names the key.
  """

  @typedoc "What any JSON library encodes alike."
  @type plain ::
          nil | boolean | number | String.t() | [plain] | %{optional(String.t()) => plain}

  @typedoc "The way to a value, innermost key first."
  @type path :: [String.t() | atom | number]

  @calendar [Date, Time, NaiveDateTime, DateTime]
  # What Python's `re` reads inline, under both spellings of `Regex.opts/1` (text up to Elixir 1.15, atoms later);
  # Unicode is what Python does anyway.
  @inline_flags %{
    "i" => "i",
    "m" => "m",
    "s" => "s",
    "x" => "x",
    "u" => "",
    caseless: "i",
    multiline: "m",
    dotall: "s",
    extended: "x",
    unicode: "",
    ucp: ""
  }

  @doc """
  Makes a term plain, or raises with the key that cannot be sent.

      iex> DSPexTestkit.Wire.plain!(%{provider: :mock, at: {1, nil}})
      %{"provider" => "mock", "at" => [1, nil]}

  `path` is where the term sits in what the caller wrote, innermost key first; it only serves the message.
  """
  @spec plain!(term, path) :: plain
  def plain!(term, path \\ [])

  def plain!(term, _path) when is_nil(term) or is_boolean(term) or is_number(term), do: term
  def plain!(term, _path) when is_atom(term), do: Atom.to_string(term)

  def plain!(term, path) when is_binary(term) do
    if String.valid?(term),
      do: term,
      else: refuse(term, path, "it is not valid UTF-8; send bytes as Base64 text")
  end

  def plain!([], _path), do: []

  def plain!(term, path) when is_list(term) do
    cond do
      List.improper?(term) -> refuse(term, path, "it is an improper list")
      Keyword.keyword?(term) -> object(term, path)
      true -> array(term, path)
    end
  end

  def plain!(term, path) when is_tuple(term), do: term |> Tuple.to_list() |> array(path)
  def plain!(%Regex{} = regex, path), do: %{"regex" => regex_source(regex, path)}
  def plain!(%MapSet{} = set, path), do: set |> Enum.sort() |> array(path)
  def plain!(%module{} = term, _path) when module in @calendar, do: module.to_iso8601(term)
  def plain!(%{__struct__: Decimal} = term, _path), do: to_string(term)

  def plain!(%module{} = term, path) do
    refuse(
      term,
      path,
      "a #{inspect(module)} struct has no JSON form here; send a map, for example by Map.from_struct/1"
    )
  end

  def plain!(term, path) when is_map(term), do: object(term, path)

  def plain!(term, path) when is_function(term) do
    refuse(term, path, "a function cannot travel to the bridge; write its answers down as data")
  end

  def plain!(term, path), do: refuse(term, path, "it has no meaning outside this BEAM")

  @doc "Writes a path as its author would: `rules[0].where`."
  @spec format_path(path) :: String.t()
  def format_path([]), do: "the top level"

  def format_path(path) do
    [first | rest] = Enum.reverse(path)
    Enum.reduce(rest, key_text(first), &(&2 <> step_text(&1)))
  end

  defp array(items, path) do
    items |> Enum.with_index() |> Enum.map(fn {item, index} -> plain!(item, [index | path]) end)
  end

  defp object(pairs, path) do
    Enum.reduce(pairs, %{}, fn {key, value}, object ->
      name = key_name(key, path)

      if Map.has_key?(object, name) do
        raise ArgumentError,
              "the key #{inspect(name)} occurs twice at #{format_path(path)} (once as an atom or number, once " <>
                "as text, or twice in a keyword list); keep one"
      end

      Map.put(object, name, plain!(value, [key | path]))
    end)
  end

  defp key_name(key, _path) when is_atom(key) or is_number(key), do: to_string(key)
  defp key_name(key, path) when is_binary(key), do: plain!(key, path)

  defp key_name(key, path) do
    refuse(key, path, "a JSON key must be a text, an atom or a number")
  end

  defp regex_source(regex, path) do
    case Enum.map_join(regex_flags(regex), &inline_flag(&1, regex, path)) do
      "" -> Regex.source(regex)
      letters -> "(?#{letters})" <> Regex.source(regex)
    end
  end

  defp regex_flags(regex) do
    case Regex.opts(regex) do
      modifiers when is_binary(modifiers) -> String.graphemes(modifiers)
      options -> options
    end
  end

  defp inline_flag(flag, regex, path) do
    case @inline_flags do
      %{^flag => letter} ->
        letter

      _ ->
        refuse(regex, path, "Python's regular expressions have no option like #{inspect(flag)}")
    end
  end

  defp key_text(key) when is_integer(key), do: "[#{key}]"
  defp key_text(key), do: to_string(key)

  defp step_text(key) when is_integer(key), do: "[#{key}]"

  defp step_text(key) do
    text = to_string(key)
    if text =~ ~r/^\w+$/u, do: "." <> text, else: "[#{inspect(text)}]"
  end

  @spec refuse(term, path, String.t()) :: no_return
  defp refuse(term, path, why) do
    raise ArgumentError,
          "cannot send #{inspect(term, limit: 5, printable_limit: 80)} at #{format_path(path)}: #{why}"
  end
end
