defmodule DSPexTestkit.FixtureFilesTest do
  @moduledoc "What `fixtures/` says of LMs, mocks, signatures and faults is so from here as well; Python reads the same files."
  use DSPexTestkit.Case, async: true

  import DSPexTestkit.Test.FixtureFiles

  for {name, sample} <- samples("mock_specs") do
    @sample sample
    test "the mock #{name} answers as its sample says", %{session: session} do
      {:ok, qa} = Session.create_program(session, signature: "question -> answer")
      assert {:ok, _configured} = Session.configure_lm(session, @sample["config"])

      for {question, expected} <- Enum.zip(@sample["questions"], @sample["answers"]) do
        assert_heard(session, qa, question, expected)
      end
    end
  end

  for {name, sample} <- samples("lm_configs") do
    @sample sample
    test "the LM config #{name} names the LM of its sample", %{session: session} do
      assert {:ok, configured} = Session.configure_lm(session, @sample["config"])
      refute Map.has_key?(configured, "warnings")
      assert %{"lm" => lm} = Session.call!(session, :get_lm)
      assert Map.take(lm, Map.keys(@sample["lm"])) == @sample["lm"]
    end
  end

  for {name, sample} <- samples("signatures") do
    @sample sample
    test "the signature #{name} takes the inputs and gives the outputs of its sample",
         %{session: session} do
      Session.configure_lm(session, provider: :mock, responses: %{default: @sample["outputs"]})
      program = %{id: "qa", signature: @sample["signature"]}

      assert %{"fallback_used" => false, "signature_class" => class} =
               Session.call!(session, :create_program, program)

      assert class == @sample["signature_class"]
      assert {:ok, %{"outputs" => outputs}} = Session.execute(session, "qa", @sample["inputs"])
      assert outputs == @sample["outputs"]
    end
  end

  for {name, sample} <- samples("faults") do
    @sample sample
    test "the fault #{name} strikes as its sample says", %{session: session} do
      {:ok, qa} = Session.create_program(session, signature: "question -> answer")
      lm = %{provider: :mock, responses: %{default: "fine"}, faults: [@sample["fault"]]}
      assert {:ok, _configured} = Session.configure_lm(session, lm)
      for expected <- @sample["heard"], do: assert_heard(session, qa, "?", expected)
    end
  end

  # A pattern stands for what is drawn, and for the words of an error.
  defp assert_heard(session, program, question, expected) do
    heard = Session.execute(session, program, question: question)

    case expected do
      %{"regex" => pattern} ->
        assert {:ok, %{"answer" => answer}} = heard
        assert answer =~ Regex.compile!(pattern)

      %{"error" => pattern} ->
        assert {:error, %DSPexTestkit.Error{message: message}} = heard
        assert message =~ Regex.compile!(pattern, "s")

      answer ->
        assert {:ok, %{"answer" => ^answer}} = heard
    end
  end
end
