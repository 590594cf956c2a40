defmodule DSPexTestkit.WireTest do
  use ExUnit.Case, async: true
  doctest DSPexTestkit.Wire

  alias DSPexTestkit.Wire

  test "JSON's own values stay as they are" do
    for value <- [
          nil,
          true,
          false,
          0,
          -1,
          1.5,
          123_456_789_012_345_678_901_234_567_890,
          "",
          "日本 🎌"
        ] do
      assert Wire.plain!(value) === value
    end
  end

  test "atoms become texts, module names as Jason writes them" do
    assert Wire.plain!([:mock, DSPex.Test, nil]) == ["mock", "Elixir.DSPex.Test", nil]
  end

  test "keyword lists become objects and tuples become arrays" do
    assert Wire.plain!(where: [question: {:a, 1}], none: []) == %{
             "where" => %{"question" => ["a", 1]},
             "none" => []
           }
  end

  test "a list of pairs that is no keyword list stays a list" do
    assert Wire.plain!([{"a", 1}]) == [["a", 1]]
  end

  test "keys become texts" do
    assert Wire.plain!(%{:a => 1, "b" => 2, 3 => 4}) == %{"a" => 1, "b" => 2, "3" => 4}
  end

  test "a regex becomes its source with the options inline" do
    assert Wire.plain!(~r/capital of (\w+)/) == %{"regex" => "capital of (\\w+)"}
    assert Wire.plain!(~r/é/iu) == %{"regex" => "(?i)é"}
    assert Wire.plain!(~r/a.b/s) == %{"regex" => "(?s)a.b"}
  end

  test "a regex option that Python lacks is refused" do
    assert_raise ArgumentError, ~r/at rule: Python's regular expressions have no option/, fn ->
      Wire.plain!(%{rule: ~r/a+/U})
    end
  end

  test "dates become ISO 8601 and sets become sorted lists" do
    assert Wire.plain!(%{at: ~U[2025-07-16 20:00:00Z], on: ~D[2025-07-16]}) ==
             %{"at" => "2025-07-16T20:00:00Z", "on" => "2025-07-16"}

    assert Wire.plain!(MapSet.new([3, 1, 2])) == [1, 2, 3]
  end

  test "what has no meaning outside this BEAM is refused with its key" do
    for term <- [self(), make_ref(), fn -> 1 end, <<1::3>>, URI.parse("file:a"), [1 | 2], <<255>>] do
      error =
        assert_raise ArgumentError, fn ->
          Wire.plain!(%{responses: %{"What is it?" => [1, term]}})
        end

      assert error.message =~ ~s(at responses["What is it?"][1]: )
    end
  end

  test "a key that is no text, atom or number is refused" do
    assert_raise ArgumentError, ~r/at inputs: a JSON key must be/, fn ->
      Wire.plain!(%{inputs: %{{1, 2} => 3}})
    end
  end

  test "one key under two spellings is refused instead of losing one" do
    assert_raise ArgumentError, ~r/"id" occurs twice at args/, fn ->
      Wire.plain!(%{args: %{:id => 1, "id" => 2}})
    end
  end
end
