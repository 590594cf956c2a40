defmodule DSPexTestkit.MockLM.Sample do
  @moduledoc """
  A `response_generator` function turned into data.

  A function cannot travel to a process of another language, so it is asked here, before anything is sent:

    * `inputs: [...]` - once for each input; its answers become a `responses` table. An input is a text or number (the
      value of one input field), or a map of all inputs, `%{question: "…", context: "…"}`. Any other input is an error
      at the bridge, unless `default:` answers it.
    * `samples: n` - `n` times, with 1 to `n`; its answers become a script that begins again after the last. For functions that
      do not look at their input, like the design note's `fn _input -> "mock_\#{:rand.uniform(1000)}" end`.
  """

  alias DSPexTestkit.{JSON, Wire}

  @doc "Replaces `response_generator` and what belongs to it; raises an `ArgumentError` where it cannot be asked."
  @spec expand(map) :: map
  def expand(%{response_generator: generator} = config) when is_function(generator, 1) do
    {how, config} =
      config |> Map.delete(:response_generator) |> Map.split([:inputs, :samples, :default])

    case how do
      %{inputs: _inputs, samples: _samples} ->
        raise ArgumentError, "response_generator takes inputs: or samples:, not both"

      %{inputs: [_ | _] = inputs} ->
        table = Map.new(inputs, &{key(&1), generator.(&1)})
        Map.put(config, :responses, with_default(table, how))

      %{samples: count} when is_integer(count) and count > 0 ->
        answers = Enum.map(1..count, generator)
        Map.merge(config, %{mode: :scripted, answers: answers, on_exhausted: :cycle})

      _neither ->
        raise ArgumentError,
              "response_generator is a function, which cannot travel to the bridge; it has to be asked here. Name the " <>
                ~s(inputs that the test uses, inputs: ["What is …?"], or how many answers to take from it, ) <>
                "samples: 20. For random answers without a function write :random."
    end
  end

  def expand(%{response_generator: other}) when is_function(other) do
    raise ArgumentError,
          "response_generator must be a function of one input, got: #{inspect(other)}"
  end

  # Already data, such as "random".
  def expand(config), do: config

  defp with_default(table, %{default: default}), do: Map.put(table, "default", default)
  defp with_default(table, _how), do: table

  defp key(input) when is_binary(input) or is_integer(input) or is_boolean(input) do
    to_string(Wire.plain!(input, [:inputs]))
  end

  defp key(input) when is_map(input) or is_list(input) do
    case Wire.plain!(input, [:inputs]) do
      inputs when is_map(inputs) -> inputs |> JSON.encode!() |> IO.iodata_to_binary()
      _list -> refuse(input)
    end
  end

  defp key(input), do: refuse(input)

  defp refuse(input) do
    raise ArgumentError,
          "an input to sample is a text, an integer, a boolean, or a map of all inputs by name, got: #{inspect(input)}. " <>
            "Write the others by name: %{field: value}."
  end
end
