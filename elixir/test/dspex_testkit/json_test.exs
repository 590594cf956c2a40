defmodule DSPexTestkit.JSONTest do
  # Not async: the configured module belongs to the whole application.
  use ExUnit.Case, async: false

  alias DSPexTestkit.JSON

  defmodule Upcased do
    def encode!(term), do: term |> inspect() |> String.upcase()
    def decode(_text), do: {:ok, :decoded}
  end

  defp round_trip(term) do
    {:ok, decoded} = term |> JSON.encode!() |> IO.iodata_to_binary() |> JSON.decode()
    decoded
  end

  test "nil is null in both directions" do
    assert IO.iodata_to_binary(JSON.encode!(%{a: nil})) == ~s({"a":null})
    assert JSON.decode(~s({"a":null})) == {:ok, %{"a" => nil}}
  end

  test "objects come back as maps with text keys, empty ones too" do
    assert round_trip(%{a: %{}, b: [], c: [%{d: 1}]}) == %{
             "a" => %{},
             "b" => [],
             "c" => [%{"d" => 1}]
           }
  end

  test "integers of any size and every kind of text survive" do
    value = %{"n" => 2 ** 200, "t" => "é 日本 🎌 \u0000 \u2028 \" \\ </script>", "f" => 0.1}
    assert round_trip(value) == value
  end

  test "a text beyond a pipe's buffer survives" do
    text = String.duplicate("é", 200_000)
    assert round_trip(%{text: text}) == %{"text" => text}
  end

  test "what is no JSON is an error, not an exception" do
    for text <- ["", "{", "{} x", ~s({"a":NaN}), ~s("\\ud800"), <<131, 104>>, ~s({"a":1e400})] do
      assert {:error, _reason} = JSON.decode(text)
    end
  end

  test "a configured module is taken" do
    Application.put_env(:dspex_testkit, :json, Upcased)
    on_exit(fn -> Application.delete_env(:dspex_testkit, :json) end)

    assert JSON.module() == Upcased
    assert JSON.encode!(%{mode: :x}) == ~s(%{"MODE" => "X"})
    assert JSON.decode("anything") == {:ok, :decoded}
  end

  test "a module without the two functions is refused by name" do
    assert_raise ArgumentError, ~r/NoSuchJSON is not loaded or lacks encode!\/1/, fn ->
      JSON.module(NoSuchJSON)
    end
  end
end
