defmodule DSPexTestkit.CaseTagsTest do
  use ExUnit.Case, async: true

  @context %{module: __MODULE__, line: 1, test: :"test it"}

  defp begin(tags) do
    DSPexTestkit.Case.begin_session(Map.merge(@context, tags), fn _command, _args ->
      {:ok, %{}}
    end)
  end

  for tag <- [:cassete, :casette, :cassettes],
      value <- ["capitals", true, {"capitals", [mode: :once]}] do
    test "@tag #{tag}: #{inspect(value)} is refused, for it would do nothing" do
      tags = %{unquote(tag) => unquote(Macro.escape(value))}

      assert_raise ExUnit.AssertionError, ~r/did you mean @tag cassette:/, fn -> begin(tags) end
    end
  end

  test "tags of a suite's own are left alone, whatever they hold" do
    assert %{session: _} = begin(%{casual: true, cassete: 3, tmp_dir: "x", case: "mine"})
  end
end
