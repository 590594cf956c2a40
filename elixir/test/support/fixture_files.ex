defmodule DSPexTestkit.Test.FixtureFiles do
  @moduledoc "The samples below `fixtures/` of what crosses the wire, which tests of both languages read."

  @fixtures Path.expand("../../../fixtures", __DIR__)

  @doc "The samples of one kind, with their names, in JSON's plain values."
  def samples(kind) do
    paths = @fixtures |> Path.join("#{kind}/*.json") |> Path.wildcard()
    if paths == [], do: raise("no fixtures of the kind #{kind} in #{@fixtures}")

    for path <- paths do
      {:ok, sample} = path |> File.read!() |> DSPexTestkit.JSON.decode()
      {Path.basename(path, ".json"), sample}
    end
  end
end
