defmodule DSPexTestkit.Cassette.Ending do
  @moduledoc """
  Ejects a test's cassette once its body has returned.

  ExUnit tells nobody inside a test how it ended: `on_exit` callbacks run before its formatters hear of the result, and
  the test's process exits alike either way. A formatter hears too late, when processes that `setup_all` started may be
  gone, and cannot fail the test. So the tests that have the tag are wrapped when their module is compiled.
  """

  alias DSPexTestkit.Cassette

  @compile {:no_warn_undefined, {ExUnit.Case, :get_last_registered_test, 1}}

  @wrapped :__dspex_testkit_cassettes__

  @doc "Whether this test of this module ejects its cassette."
  @spec of?(module, atom) :: boolean
  def of?(module, test) do
    function_exported?(module, @wrapped, 0) and test in apply(module, @wrapped, [])
  end

  @doc false
  def __on_definition__(env, :def, name, [_context], _guards, _body) do
    # ExUnit registers a test, with the tags of its module and describe block, just before it defines the function.
    case last_registered(env.module) do
      %ExUnit.Test{name: ^name, tags: %{cassette: tag}} when tag not in [nil, false] ->
        Module.put_attribute(env.module, @wrapped, [{name, env.line} | wrapped(env.module)])

      _no_test_with_a_cassette ->
        :ok
    end
  end

  def __on_definition__(_env, _kind, _name, _args, _guards, _body), do: :ok

  @doc false
  defmacro __before_compile__(env) do
    wrapped = wrapped(env.module)

    wrappers =
      for {name, line} <- wrapped do
        # The test's own line, for what ExUnit tells of a failure.
        quote line: line do
          defoverridable [{unquote(name), 1}]

          def unquote(name)(context) do
            result = super(context)
            unquote(Cassette).eject_passed(context)
            result
          end
        end
      end

    quote do
      unquote_splicing(wrappers)
      @doc false
      def unquote(@wrapped)(), do: unquote(Keyword.keys(wrapped))
    end
  end

  defp last_registered(module) do
    if function_exported?(ExUnit.Case, :get_last_registered_test, 1) do
      ExUnit.Case.get_last_registered_test(module)
    else
      # The attribute is ExUnit's own; it is only read where ExUnit is too old to be asked.
      module |> Module.get_attribute(:ex_unit_tests) |> List.wrap() |> List.first()
    end
  end

  defp wrapped(module), do: Module.get_attribute(module, @wrapped) || []
end
