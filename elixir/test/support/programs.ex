defmodule DSPexTestkit.Test.Programs do
  @moduledoc "The program that most tests use, in the wire's shape."

  def qa(id \\ "qa", extra \\ %{}) do
    Map.merge(
      %{
        id: id,
        signature: %{
          name: "BasicQA",
          description: "Answer questions with short factual answers",
          inputs: [%{name: "question", type: "string"}],
          outputs: [%{name: "answer", type: "string", desc: "often between 1 and 5 words"}]
        }
      },
      Map.new(extra)
    )
  end

  def mock(model, answer) do
    %{provider: :mock, model: model, responses: %{"default" => answer}}
  end
end
