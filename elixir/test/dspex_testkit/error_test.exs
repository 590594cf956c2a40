defmodule DSPexTestkit.ErrorTest do
  use ExUnit.Case, async: true
  doctest DSPexTestkit.Error

  alias DSPexTestkit.{Error, Session}

  test "the code is read from the end of a text, which is all that stock DSPex keeps" do
    assert %Error{code: "no_lm_loaded", message: "No LM is loaded. [no_lm_loaded]"} =
             Error.from("No LM is loaded. [no_lm_loaded]")
  end

  test "a text without a code keeps its text" do
    assert %Error{code: nil, message: "something [else] broke"} =
             Error.from("something [else] broke")
  end

  test "what DSPex wraps is unwrapped" do
    assert Error.from(:timeout).code == "timeout"

    assert Error.from({:timeout_error, :command_timeout, "Command timed out after 5ms", %{}}).code ==
             "timeout"

    assert {:communication_error, :port_exited, "status 1", %{}} |> Error.from() |> Error.gone?()
    assert Error.gone?(Error.from("Python process died"))
    assert Error.from({:odd, 1}).message == "{:odd, 1}"
  end

  test "an exit of the sender is an error like any other" do
    gone = fn _command, _args -> GenServer.call(:nobody_has_this_name, :ping) end
    slow = fn _command, _args -> GenServer.call(self_that_never_answers(), :ping, 0) end

    assert {:error, %Error{code: "not_running", message: text}} =
             Session.transmit(gone, :ping, %{})

    assert text =~ "noproc"
    assert {:error, %Error{code: "timeout"}} = Session.transmit(slow, :ping, %{})

    assert {:error, %Error{code: "not_running"}} =
             Session.transmit(fn _, _ -> exit(:boom) end, :ping, %{})
  end

  defp self_that_never_answers do
    start_supervised!({Task, fn -> Process.sleep(:infinity) end})
  end
end
