defmodule DSPexTestkit.Assertions do
  @moduledoc """
  Assertions on which LM answered, over the bridge's journal.

  They are about a program or a session (`DSPexTestkit.Subject` lists the spellings), and work over any sender
  that a session has. A failure shows the calls as a table:

      expected program "qa" of session "MyTest_12" to be answered by
        model: "gpt-4o", scope: "program"
      but its newest call (>) was answered by
        model: "mock", scope: "session"

        seq  scope    provider/model  program  session    answer
      > 7    session  mock/mock       qa       MyTest_12  answer: "Paris"

  Import them by `use DSPexTestkit.Case`, or with `import DSPexTestkit.Assertions`.
  """

  alias DSPexTestkit.{Subject, Timeline}

  @scopes ~w(execution program session global default)
  @expectable ~w(provider model scope mocked engine lm_id program_id session_id worker_id signature rule)a

  @doc """
  The LM calls of a program or session, oldest first, as the journal has them.

  A call is a map with text keys: `"seq"`, `"provider"`, `"model"`, `"scope"`, `"inputs"`, `"outputs"`, `"rule"`, ….
  """
  @spec calls(Subject.written()) :: [map]
  def calls(subject), do: subject |> Subject.new() |> Subject.calls()

  @doc """
  Asserts which LM answered the newest call of a program or session; returns the call.

      assert_answered_by("qa", model: "gpt-4o", scope: :program)
      assert_answered_by(result, provider: :openai)

  Expected may be any of `#{inspect(@expectable)}`; a value is compared as text, a `Regex` is matched. The result
  of an execution (with its `"lm"`) is judged by itself, without the journal.
  """
  @spec assert_answered_by(Subject.written() | map, keyword) :: map
  def assert_answered_by(subject, expected)

  def assert_answered_by(%{"lm" => lm, "program_id" => program_id}, expected) when is_map(lm) do
    check_expected!(expected)

    case differing(lm, expected) do
      [] ->
        lm

      keys ->
        flunk(answered_text("this execution of #{inspect(program_id)}", "it", expected, keys, lm))
    end
  end

  def assert_answered_by(subject, expected) do
    check_expected!(expected)
    subject = Subject.new(subject)
    calls = Subject.calls(subject)

    case List.last(calls) do
      nil ->
        flunk(
          "expected #{Subject.describe(subject)} to be answered by\n  #{pairs(expected)}\nbut it called no LM." <>
            elsewhere(subject)
        )

      newest ->
        case differing(newest, expected) do
          [] ->
            newest

          keys ->
            flunk(
              answered_text(
                Subject.describe(subject),
                "its newest call (>)",
                expected,
                keys,
                newest
              ) <>
                "\n\n" <> Timeline.table(calls, mark: &(&1 == newest))
            )
        end
    end
  end

  @doc """
  Asserts the LMs of a program or session in the order in which they took over; returns the calls.

      assert_switched("qa", ["mock", "openai/gpt-4o", "mock"])

  An LM is written as its model or as `provider/model`. Several calls in a row to one LM count once, so that it
  does not matter how many a module makes for one answer.
  """
  @spec assert_switched(Subject.written(), [String.t()]) :: [map]
  def assert_switched(subject, expected) when is_list(expected) do
    expected = Enum.map(expected, &to_string/1)

    if expected != Enum.dedup(expected) do
      raise ArgumentError,
            "#{inspect(expected)} names one LM twice in a row; that is no switch. Use calls/1 to look at each call."
    end

    subject = Subject.new(subject)
    calls = Subject.calls(subject)
    turns = Enum.dedup_by(calls, &Timeline.lm/1)

    if same_turns?(turns, expected) do
      calls
    else
      flunk("""
      expected #{Subject.describe(subject)} to switch LMs like this
        #{arrows(expected)}
      but it went
        #{turns |> Enum.map(&Timeline.lm/1) |> arrows()}

      #{Timeline.table(calls, mark: &(&1 in turns))}\
      """)
    end
  end

  @doc """
  Refutes that an LM answered where it had no business.

  A leak is

    * a call that a wider scope answered than the one that decides now (a session that has an LM, answered by the
      global one). Where the LM was given in the middle of a test, name what is right by `scopes: [...]`.
    * an LM given to a session that answered in another session, or one given to a program that answered for another
      program: their `lm_id` tells.

  Looks at every session that the bridge shows; returns the subject's calls.
  """
  @spec refute_leaked(Subject.written(), keyword) :: [map]
  def refute_leaked(subject, opts \\ []) do
    subject = Subject.new(subject)
    calls = Subject.calls(subject)
    foreign = borrowed(calls, Subject.all_calls(subject))
    too_wide = too_wide(subject, calls, opts[:scopes])

    case foreign ++ too_wide do
      [] ->
        calls

      leaks ->
        leaked = for {call, _why} <- leaks, do: call
        shown = (calls ++ leaked) |> Enum.uniq() |> Enum.sort_by(& &1["seq"])

        flunk("""
        expected #{Subject.describe(subject)} to keep its LMs to itself, but
        #{leaks |> Enum.map(fn {_call, why} -> "  * " <> why end) |> Enum.uniq() |> Enum.join("\n")}

        #{Timeline.table(shown, mark: &(&1 in leaked))}\
        """)
    end
  end

  # Calls, ours or others', that share an lm_id with ours across the border of its scope.
  defp borrowed(calls, all_calls) do
    by_lm = Enum.group_by(all_calls, & &1["lm_id"])

    for call <- calls,
        {scope, border} <- [{"session", "session_id"}, {"program", "program_id"}],
        call["scope"] == scope and call["lm_id"] != nil,
        other <- Map.get(by_lm, call["lm_id"], []),
        other["scope"] == scope and other[border] != call[border] do
      {other,
       "the LM #{Timeline.lm(call)} (#{call["lm_id"]}) that was given to #{scope} #{inspect(call[border])} " <>
         "answered for #{scope} #{inspect(other[border])} as call #{other["seq"]}"}
    end
  end

  defp too_wide(subject, calls, nil) do
    narrowest =
      for program_id <- calls |> Enum.map(& &1["program_id"]) |> Enum.uniq(), into: %{} do
        {program_id, Subject.lm(%{subject | program_id: program_id})["scope"]}
      end

    for %{"scope" => scope} = call when is_binary(scope) <- calls,
        decides = narrowest[call["program_id"]],
        decides != nil and width(scope) > width(decides) do
      {call,
       "call #{call["seq"]} was answered by scope #{scope} (#{Timeline.lm(call)}), although scope #{decides} has an LM"}
    end
  end

  defp too_wide(_subject, calls, scopes) do
    allowed = Enum.map(scopes, &to_string/1)

    for unknown <- allowed, unknown not in @scopes do
      raise ArgumentError,
            "there is no scope #{inspect(unknown)}; write some of #{inspect(@scopes)}"
    end

    for call <- calls, call["scope"] not in allowed do
      {call,
       "call #{call["seq"]} was answered by scope #{call["scope"]} (#{Timeline.lm(call)}), allowed were " <>
         Enum.join(allowed, ", ")}
    end
  end

  defp width(scope), do: Enum.find_index(@scopes, &(&1 == scope)) || length(@scopes)

  defp check_expected!(expected) do
    unless Keyword.keyword?(expected) and expected != [] do
      raise ArgumentError,
            "expected a keyword list such as [model: \"mock\"], got: #{inspect(expected)}"
    end

    for {key, _value} <- expected, key not in @expectable do
      hint = Enum.max_by(@expectable, &String.jaro_distance(to_string(&1), to_string(key)))

      raise ArgumentError,
            "an LM call has no #{inspect(key)} to compare; did you mean #{inspect(hint)}? There are #{inspect(@expectable)}"
    end
  end

  defp differing(call, expected) do
    for {key, wanted} <- expected, not same?(call[to_string(key)], wanted), do: key
  end

  defp same?(value, %Regex{} = wanted), do: is_binary(value) and value =~ wanted
  defp same?(value, wanted) when is_nil(value) or is_nil(wanted), do: value == wanted
  defp same?(value, wanted), do: to_string(value) == to_string(wanted)

  defp same_turns?(turns, expected) do
    length(turns) == length(expected) and
      Enum.all?(Enum.zip(turns, expected), fn {call, lm} ->
        lm in [call["model"], Timeline.lm(call)]
      end)
  end

  defp answered_text(subject, whose, expected, keys, call) do
    found = for key <- keys, do: {key, call[to_string(key)]}

    "expected #{subject} to be answered by\n  #{pairs(expected)}\nbut #{whose} was answered by\n  #{pairs(found)}"
  end

  # Nothing in this session: perhaps the program ran without it.
  defp elsewhere(%Subject{program_id: nil}), do: ""

  defp elsewhere(%Subject{program_id: program_id} = subject) do
    case Enum.filter(Subject.all_calls(subject), &(&1["program_id"] == program_id)) do
      [] ->
        ""

      calls ->
        "\nThe program was called outside this session; does your code pass session_id?\n\n" <>
          Timeline.table(calls)
    end
  end

  defp pairs(pairs),
    do: Enum.map_join(pairs, ", ", fn {key, value} -> "#{key}: #{inspect(value)}" end)

  defp arrows([]), do: "(no LM was called)"
  defp arrows(lms), do: Enum.join(lms, " → ")

  @spec flunk(String.t()) :: no_return
  defp flunk(message), do: raise(ExUnit.AssertionError, message: message)
end
