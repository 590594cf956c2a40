defmodule DSPexTestkit.ErrorTest do
  use ExUnit.Case, async: true
  doctest DSPexTestkit.Error

  alias DSPexTestkit.Error

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
    assert Error.from({:odd, 1}).message == "{:odd, 1}"
  end
end
