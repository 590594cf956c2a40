defmodule DSPexTestkit.Test.CannedBridge do
  @moduledoc """
  A sender that answers from given calls and LMs: for tests whose subject is the text of a failure.
  """

  alias DSPexTestkit.Session

  @doc """
  A session over canned answers.

    * `:calls` - the whole journal; `get_journal` filters it as the bridge does
    * `:lms` - what `get_lm` answers, by program id (nil: without a program)
  """
  def session(id, opts) do
    calls = for call <- opts[:calls] || [], do: call(call)

    Session.new(id, fn command, args -> {:ok, answer(command, args, calls, opts[:lms] || %{})} end)
  end

  def call(fields) do
    defaults = %{
      "provider" => "mock",
      "model" => "mock",
      "scope" => "session",
      "program_id" => "qa",
      "session_id" => "s1",
      "outputs" => %{},
      "error" => nil
    }

    Map.merge(defaults, Map.new(fields, fn {key, value} -> {to_string(key), value} end))
  end

  defp answer(:get_journal, args, calls, _lms) do
    found =
      for call <- calls,
          args[:session_id] in [nil, call["session_id"]],
          args[:program_id] in [nil, call["program_id"]],
          do: call

    %{"calls" => found, "total_count" => length(found), "last_seq" => length(calls)}
  end

  defp answer(:get_lm, args, _calls, lms), do: %{"lm" => lms[args[:program_id]]}
  defp answer(_command, args, _calls, _lms), do: %{"args" => args}
end
