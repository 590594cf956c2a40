defmodule DSPexTestkit.Timeline do
  @moduledoc """
  LM calls as a small table, for a person who wants to see which LM answered when.
  """

  @columns [
    {"seq", &__MODULE__.seq/1, 8},
    {"scope", &__MODULE__.scope/1, 12},
    {"provider/model", &__MODULE__.lm/1, 40},
    {"program", &__MODULE__.program/1, 28},
    {"session", &__MODULE__.session/1, 44},
    {"answer", &__MODULE__.answer/1, 48}
  ]

  @doc """
  The table of these calls, oldest first.

  Lines for which `:mark` (a function of the call) is true begin with `>`; `:limit` keeps the newest calls only.
  """
  @spec table([map], keyword) :: String.t()
  def table(calls, opts \\ [])
  def table([], _opts), do: "  (no LM was called)"

  def table(calls, opts) do
    mark = Keyword.get(opts, :mark, fn _call -> false end)
    shown = Enum.take(calls, -Keyword.get(opts, :limit, 20))

    rows =
      for call <- shown do
        {if(mark.(call), do: "> ", else: "  "),
         for({_name, text, width} <- @columns, do: clip(text.(call), width))}
      end

    header = {"  ", for({name, _text, _width} <- @columns, do: name)}
    widths = column_widths([header | rows])
    lines = Enum.map([header | rows], &line(&1, widths))
    Enum.join(left_out(length(calls) - length(shown)) ++ lines, "\n")
  end

  @doc false
  def seq(call), do: to_string(call["seq"] || "-")

  @doc false
  def scope(call), do: call["scope"] || "-"

  @doc "An LM as one text: `provider/model`."
  @spec lm(map) :: String.t()
  def lm(call), do: "#{call["provider"]}/#{call["model"]}"

  @doc false
  def program(call), do: call["program_id"] || "-"

  @doc false
  def session(call), do: call["session_id"] || "-"

  @doc false
  def answer(%{"error" => error}) when is_binary(error), do: "failed: " <> one_line(error)

  def answer(%{"outputs" => outputs}) when map_size(outputs) > 0 do
    Enum.map_join(outputs, ", ", fn {name, value} -> "#{name}: #{inspect(value)}" end)
  end

  def answer(call), do: one_line(call["completion"] || "-")

  defp one_line(text), do: String.replace(text, ~r/\s+/u, " ")

  defp clip(text, width) do
    if String.length(text) > width, do: String.slice(text, 0, width - 1) <> "…", else: text
  end

  defp column_widths(rows) do
    rows
    |> Enum.map(fn {_mark, cells} -> Enum.map(cells, &String.length/1) end)
    |> Enum.zip_with(&Enum.max/1)
  end

  defp line({mark, cells}, widths) do
    padded = Enum.zip_with(cells, widths, &String.pad_trailing/2)
    String.trim_trailing(mark <> Enum.join(padded, "  "))
  end

  defp left_out(0), do: []
  defp left_out(count), do: ["  … #{count} earlier calls"]
end
