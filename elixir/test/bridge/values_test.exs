defmodule DSPexTestkit.ValuesTest do
  @moduledoc "Values that cross the port both ways: unicode, numbers, large payloads."
  use DSPexTestkit.Case, async: true

  import DSPexTestkit.Test.Programs

  @odd_text "é ß 日本語 🎌👩‍👩‍👧 \u0000 \u2028 \" \\ </script> \r\n\t"
  @mib 1024 * 1024

  defp echo(session, value) do
    Session.call!(session, :update_session_data, operation: "set", key: "value", value: value)
    Session.call!(session, :get_session_data)["data"]["value"]
  end

  test "any JSON value comes back as it went", %{session: session} do
    for value <- [
          @odd_text,
          0,
          -1,
          2 ** 80,
          0.1,
          1.0e300,
          true,
          false,
          [],
          %{},
          [[nil]],
          %{@odd_text => [1, %{}]}
        ] do
      assert echo(session, value) === value
    end
  end

  test "8 MiB come back as they went", %{session: session} do
    text = String.duplicate("0123456789abcdé", div(8 * @mib, 16))
    assert byte_size(text) == 8 * @mib
    assert echo(session, text) == text
  end

  @tag lm: {:deterministic, %{"Was heißt „日本“?" => "Japan 🎌", "default" => "nichts"}}
  test "unicode inputs are matched and unicode answers arrive", %{session: session} do
    {:ok, qa} = Session.create_program(session, qa())

    assert {:ok, %{"answer" => "Japan 🎌"}} =
             Session.execute(session, qa, question: "Was heißt „日本“?")
  end

  test "unicode field names come back as they went", %{session: session} do
    Session.configure_lm(session, :random)

    {:ok, id} =
      Session.create_program(session,
        signature: %{inputs: [%{name: "größe"}], outputs: [%{name: "höhe-in-m"}]}
      )

    assert {:ok, %{"outputs" => outputs}} = Session.execute(session, id, %{"größe" => "1"})
    assert Map.keys(outputs) == ["höhe-in-m"]
  end

  @tag lm: {:deterministic, %{"default" => "read"}}
  test "an 8 MiB input is executed", %{session: session} do
    {:ok, qa} = Session.create_program(session, qa())
    question = String.duplicate("word ", div(8 * @mib, 5))
    assert {:ok, %{"answer" => "read"}} = Session.execute(session, qa, question: question)
  end

  test "an 8 MiB answer arrives", %{session: session} do
    answer = String.duplicate("wort-", div(8 * @mib, 5)) <> "ende"
    Session.configure_lm(session, {:scripted, [answer]})
    {:ok, qa} = Session.create_program(session, qa())
    assert {:ok, %{"answer" => ^answer}} = Session.execute(session, qa, question: "?")
  end

  test "typed outputs arrive as numbers, booleans, lists and maps", %{session: session} do
    answer = %{count: 2 ** 70, score: 0.25, sure: true, tags: ["a", "é"], more: %{k: 1}}
    Session.configure_lm(session, {:scripted, [answer]})

    outputs =
      for {name, type} <- [
            count: "integer",
            score: "float",
            sure: "boolean",
            tags: "list<string>",
            more: "dict"
          ] do
        %{name: name, type: type}
      end

    {:ok, id} =
      Session.create_program(session,
        signature: %{name: "Typed", inputs: [%{name: "text"}], outputs: outputs}
      )

    assert {:ok, %{"outputs" => given}} = Session.execute(session, id, text: "?")

    assert given === %{
             "count" => 2 ** 70,
             "score" => 0.25,
             "sure" => true,
             "tags" => ["a", "é"],
             "more" => %{"k" => 1}
           }
  end
end
