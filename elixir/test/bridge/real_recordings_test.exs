defmodule DSPexTestkit.RealRecordingsTest do
  @moduledoc """
  What a real LM said to a pool of bridges, recorded on another day: a bridge of this BEAM answers the same from the file.
  """
  use ExUnit.Case, async: true

  alias DSPexTestkit.{Client, Error, JSON}

  @folder Path.expand("../../../cassettes/real-lm", __DIR__)
  @session "real-lm"
  @questions ["What is 2+2?", "What is the capital of France?"]

  test "a bridge answers and fails as the real LM made it do" do
    env = [{"DSPEX_TESTKIT_OFFLINE_POLICY", "replay"}, {"DSPEX_TESTKIT_CASSETTES", @folder}]
    start_supervised!({Client, name: __MODULE__.Player, env: env})

    for {command, args} <- [
          {"configure_lm",
           %{
             provider: "openai",
             model: "smollm2-135m-instruct",
             temperature: 0.0,
             max_tokens: 24,
             seed: 7
           }},
          {"create_program", %{id: "qa", signature: "question -> answer"}},
          {"use_cassette", %{name: "pool"}}
        ] do
      assert {:ok, _} = call(command, args)
    end

    assert Enum.map(@questions, &ask/1) == recorded()
    assert {:ok, %{"unplayed" => []}} = call("eject_cassette", %{passed: true})
  end

  defp ask(question) do
    case call("execute_program", %{program_id: "qa", inputs: %{question: question}}) do
      {:ok, %{"answer" => answer}} -> answer
      {:error, %Error{code: code}} -> {:error, code}
    end
  end

  defp recorded do
    outcomes = @folder |> Path.join("outcomes.json") |> File.read!() |> JSON.decode() |> elem(1)

    for outcome <- outcomes["outcomes"]["pool"],
        do: outcome["answer"] || {:error, outcome["error"]}
  end

  defp call(command, args),
    do: Client.call(__MODULE__.Player, command, Map.put(args, :session_id, @session))
end
