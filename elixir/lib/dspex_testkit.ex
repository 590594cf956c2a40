defmodule DSPexTestkit do
  @moduledoc """
  Test DSPex offline: no key, no network, and assertions on which LM answered.

    * `DSPexTestkit.MockLM` - mock LMs as config maps for `configure_lm`, `lm_config` and `@tag lm:`
    * `DSPexTestkit.Case` - a session of its own for each test, so that `async: true` tests share one bridge
    * `DSPexTestkit.Assertions` - `calls/1`, `assert_answered_by/2`, `assert_switched/2`, `refute_leaked/2`
    * `DSPexTestkit.Cassette` - recordings, `@tag cassette:`
    * `DSPexTestkit.Session` - what a test does with its session
    * `DSPexTestkit.Client`, `DSPexTestkit.Pool` - the bridge behind a port, opened as DSPex opens it
    * `DSPexTestkit.JSON`, `DSPexTestkit.Wire` - which JSON library is used, and how terms become JSON

  The README shows how they go together.
  """
end
