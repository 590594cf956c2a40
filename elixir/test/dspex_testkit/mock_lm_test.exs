defmodule DSPexTestkit.MockLMTest do
  use ExUnit.Case, async: true
  doctest DSPexTestkit.MockLM

  alias DSPexTestkit.MockLM

  describe "modes" do
    test "deterministic is the design note's table" do
      assert MockLM.configure_test_lm(:deterministic) == %{
               provider: "mock",
               responses: %{
                 "What is the capital of France?" => "Paris",
                 "default" => "mock response"
               }
             }
    end

    test "deterministic takes a table, or options" do
      assert MockLM.configure_test_lm(:deterministic, %{"a" => :b}) ==
               %{provider: "mock", responses: %{"a" => "b"}}

      assert MockLM.configure_test_lm(:deterministic,
               responses: %{"a" => "b"},
               default: "c",
               model: "m"
             ) ==
               %{provider: "mock", model: "m", responses: %{"a" => "b", "default" => "c"}}
    end

    test "random has a seed, that of the test run unless one is given" do
      assert MockLM.configure_test_lm(:random) ==
               %{provider: "mock", mode: "random", seed: ExUnit.configuration()[:seed]}

      assert MockLM.configure_test_lm(:random, 42) == %{
               provider: "mock",
               mode: "random",
               seed: 42
             }

      assert MockLM.configure_test_lm(:random, seed: 7, model: "m").seed == 7
    end

    test "scripted has answers, some of its own unless given" do
      assert %{mode: "scripted", answers: ["mock response 1" | _]} =
               MockLM.configure_test_lm(:scripted)

      assert MockLM.configure_test_lm(:scripted, ["a", %{answer: "b", score: 0.5}]) ==
               %{
                 provider: "mock",
                 mode: "scripted",
                 answers: ["a", %{"answer" => "b", "score" => 0.5}]
               }

      assert MockLM.configure_test_lm(:scripted, answers: ["a"], on_exhausted: :cycle).on_exhausted ==
               "cycle"
    end

    test "an ensemble's members, and its judge, are LMs in any spelling" do
      assert MockLM.ensemble(:best_of, ["fast", {:deterministic, default: "Paris"}, [model: "m"]],
               judge: "openai/gpt-4o",
               quorum: 2
             ) == %{
               kind: "ensemble",
               strategy: "best_of",
               members: [
                 %{"lm" => "fast"},
                 %{"provider" => "mock", "responses" => %{"default" => "Paris"}},
                 %{"model" => "m"}
               ],
               judge: %{"lm" => "openai/gpt-4o"},
               quorum: 2
             }
    end

    test "record and replay name a real provider's LM" do
      assert MockLM.configure_test_lm(:record, "openai/gpt-4o") == %{model: "openai/gpt-4o"}

      assert MockLM.configure_test_lm(:replay,
               provider: :openai,
               model: "gpt-4o",
               temperature: 0.7
             ) ==
               %{provider: "openai", model: "gpt-4o", temperature: 0.7, mode: "replay"}

      assert MockLM.lm({:replay, "openai/gpt-4o"}) == %{model: "openai/gpt-4o", mode: "replay"}
    end

    test "record and replay without a real provider's LM are refused" do
      for lm <- [nil, %{provider: :mock, model: "mock"}, [provider: :openai], 7] do
        assert_raise ArgumentError, ~r/a real provider's model, which :replay has to name/, fn ->
          MockLM.configure_test_lm(:replay, lm)
        end
      end
    end

    test "an empty script and an unknown mode are refused" do
      assert_raise ArgumentError, ~r/a script needs a list of at least one answer/, fn ->
        MockLM.configure_test_lm(:scripted, [])
      end

      assert_raise ArgumentError,
                   ~r/no mode :replayed .* \[:deterministic, :random, :scripted, :replay, :record\]/,
                   fn ->
                     MockLM.configure_test_lm(:replayed)
                   end
    end
  end

  describe "config maps" do
    test "keep their keys as atoms and make their values plain" do
      assert MockLM.configure_test_lm(%{"provider" => :openai, model: "gpt-4o", stop: {:a, "b"}}) ==
               %{provider: "openai", model: "gpt-4o", stop: ["a", "b"]}
    end

    test "a regex travels as its source, in the form of a rule's condition" do
      config =
        MockLM.configure_test_lm(
          provider: :mock,
          rules: [[when: [inputs: [question: ~r/capital/i]], answer: "Paris"]]
        )

      assert config.rules == [
               %{
                 "when" => %{"inputs" => %{"question" => %{"regex" => "(?i)capital"}}},
                 "answer" => "Paris"
               }
             ]
    end

    test "what cannot travel raises before anything is sent, and says which key" do
      assert_raise ArgumentError, ~r/#PID<.*> at responses\.default: /, fn ->
        MockLM.configure_test_lm(%{provider: :mock, responses: %{"default" => self()}})
      end

      assert_raise ArgumentError, ~r/at answers\[1\]: a function cannot travel/, fn ->
        MockLM.configure_test_lm(:scripted, ["a", fn -> "b" end])
      end
    end
  end

  describe "response_generator" do
    test "is asked for the given inputs, which become a table" do
      config =
        MockLM.configure_test_lm(%{
          provider: :mock,
          response_generator: &"#{inspect(&1)}!",
          inputs: ["x", 5, %{question: "q", k: 3}],
          default: "else"
        })

      assert %{provider: "mock", responses: table} = config
      assert %{"x" => "\"x\"!", "5" => "5!", "default" => "else"} = table
      assert [whole] = Map.keys(table) -- ["x", "5", "default"]
      assert DSPexTestkit.JSON.decode(whole) == {:ok, %{"question" => "q", "k" => 3}}
      refute Map.has_key?(config, :response_generator) or Map.has_key?(config, :inputs)
    end

    test "is asked a number of times, which becomes a script that begins again" do
      assert MockLM.configure_test_lm(%{
               provider: :mock,
               response_generator: &"mock_#{&1}",
               samples: 3
             }) ==
               %{
                 provider: "mock",
                 mode: "scripted",
                 answers: ["mock_1", "mock_2", "mock_3"],
                 on_exhausted: "cycle"
               }
    end

    test "may already be data" do
      assert MockLM.configure_test_lm(%{provider: :mock, response_generator: :random}) ==
               %{provider: "mock", response_generator: "random"}
    end

    test "without inputs or samples is refused with a way out" do
      assert_raise ArgumentError,
                   ~r/cannot travel to the bridge.*inputs:.*samples: 20.*:random/s,
                   fn ->
                     MockLM.configure_test_lm(%{
                       provider: :mock,
                       response_generator: fn _input -> "x" end
                     })
                   end

      assert_raise ArgumentError, ~r/inputs: or samples:, not both/, fn ->
        MockLM.configure_test_lm(%{response_generator: & &1, inputs: ["x"], samples: 1})
      end

      assert_raise ArgumentError, ~r/must be a function of one input/, fn ->
        MockLM.configure_test_lm(%{response_generator: fn -> "x" end, samples: 1})
      end

      assert_raise ArgumentError, ~r/an input to sample is a text.*got: 1\.5/, fn ->
        MockLM.configure_test_lm(%{response_generator: & &1, inputs: [1.5]})
      end
    end
  end

  describe "lm/1" do
    test "reads every spelling of an LM" do
      assert MockLM.lm(:deterministic) == MockLM.configure_test_lm(:deterministic)
      assert MockLM.lm({:scripted, ["a"]}) == MockLM.configure_test_lm(:scripted, ["a"])
      assert MockLM.lm("openai/gpt-4o") == %{lm: "openai/gpt-4o"}
      assert MockLM.lm(provider: :mock) == %{provider: "mock"}
    end

    test "refuses what is no LM" do
      assert_raise ArgumentError, ~r/expected an LM as a mode/, fn -> MockLM.lm(1) end
    end
  end

  test "goes by the design note's name too" do
    assert DSPex.Test.MockLM.configure_test_lm(:deterministic) ==
             MockLM.configure_test_lm(:deterministic)

    assert DSPex.Test.MockLM.configure_test_lm(:random, 1).seed == 1
  end
end
