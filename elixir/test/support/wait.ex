defmodule DSPexTestkit.Test.Wait do
  @moduledoc "Waiting for a condition, with a bound that only a failure reaches."

  import ExUnit.Assertions, only: [flunk: 1]

  @doc "Waits until the function is true."
  def until(what, fun, deadline \\ deadline()) do
    cond do
      fun.() -> :ok
      System.monotonic_time(:millisecond) > deadline -> flunk("waited in vain: #{what}")
      true -> Process.sleep(10) && until(what, fun, deadline)
    end
  end

  @doc "Whether an operating system process is there."
  def alive?(os_pid) do
    {_out, status} = System.cmd("sh", ["-c", "kill -0 #{os_pid} 2>/dev/null"])
    status == 0
  end

  @doc "Waits until an operating system process is gone."
  def until_gone(os_pid), do: until("process #{os_pid} ends", fn -> not alive?(os_pid) end)

  defp deadline, do: System.monotonic_time(:millisecond) + 10_000
end
