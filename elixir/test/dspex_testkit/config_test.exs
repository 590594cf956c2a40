defmodule DSPexTestkit.ConfigTest do
  # Not async: the configured sender belongs to the whole application.
  use ExUnit.Case, async: false

  alias DSPexTestkit.{Case, Session}

  def through_config(command, args) do
    send(self(), {command, args})
    {:ok, %{}}
  end

  defp configure(sender) do
    Application.put_env(:dspex_testkit, :send, sender)
    on_exit(fn -> Application.delete_env(:dspex_testkit, :send) end)
  end

  test "a configured sender serves every test that names none" do
    for sender <- [{__MODULE__, :through_config}, &__MODULE__.through_config/2] do
      configure(sender)

      %{session: session, session_id: id} =
        Case.begin_session(%{module: __MODULE__, line: 1, lm: {:random, 3}})

      assert_received {:configure_lm,
                       %{provider: "mock", mode: "random", seed: 3, session_id: ^id}}

      assert {:ok, %{}} = Session.call(session, :ping, n: {1, nil})
      assert_received {:ping, %{n: [1, nil], session_id: ^id}}
    end
  end

  test "a configured sender that is none is refused" do
    configure(:wrong)

    assert_raise ArgumentError,
                 ~r/config :dspex_testkit, send: must be a function.*but is :wrong/,
                 fn ->
                   Case.begin_session(%{module: __MODULE__, line: 1})
                 end
  end

  test "a test's own sender wins" do
    configure(:wrong)
    Case.begin_session(%{module: __MODULE__, line: 1, lm: :deterministic}, &through_config/2)
    assert_received {:configure_lm, %{responses: %{"default" => "mock response"}}}
  end
end
