defmodule DSPexTestkit.MockLM.Recorded do
  @moduledoc """
  Configs of LMs that a recording answers for.

    * `:record` - a real provider's LM and nothing else: asked and recorded where the bridge's offline policy is
      `record`, replayed where it is `replay`
    * `:replay` - the same LM, answered by the session's cassette whatever the policy
  """

  @type mode :: :record | :replay

  @doc "The config map; raises an `ArgumentError` where no provider's LM is named."
  @spec config(mode, String.t() | map | keyword | nil) :: map
  def config(mode, model) when is_binary(model), do: config(mode, %{model: model})

  def config(mode, lm) when is_map(lm) or is_list(lm) do
    config = Map.new(lm)

    unless config[:model], do: refuse(mode, lm)
    if config[:provider] in [:mock, "mock"], do: refuse(mode, lm)

    if mode == :replay, do: Map.put(config, :mode, :replay), else: config
  end

  def config(mode, other), do: refuse(mode, other)

  @spec refuse(mode, term) :: no_return
  defp refuse(mode, lm) do
    raise ArgumentError,
          "a recording is of a real provider's model, which #{inspect(mode)} has to name, got: #{inspect(lm)}. Write " <>
            ~s({#{inspect(mode)}, "openai/gpt-4o-mini"} or {#{inspect(mode)}, provider: :openai, model: "gpt-4o-mini"}.)
  end
end
