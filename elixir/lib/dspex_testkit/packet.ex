defmodule DSPexTestkit.Packet do
  @moduledoc """
  Requests and responses as JSON packets; the four bytes of length before them are the port's business.
  """

  alias DSPexTestkit.{Error, JSON}

  @typedoc "An answer with the id of its request, or what is wrong with the packet."
  @type decoded :: {:reply, integer, {:ok, map} | {:error, Error.t()}} | {:malformed, String.t()}

  @doc "Writes one request."
  @spec encode_request(non_neg_integer, String.t(), map, module) :: iodata
  def encode_request(id, command, args, json) do
    JSON.encode!(
      %{
        "id" => id,
        "command" => command,
        "args" => args,
        "timestamp" => DateTime.to_iso8601(DateTime.utc_now())
      },
      json
    )
  end

  @doc "Reads one response, as strictly as DSPex does."
  @spec decode_response(binary, module) :: decoded
  def decode_response(packet, json) do
    case JSON.decode(packet, json) do
      {:ok, %{"id" => id} = response} when is_integer(id) ->
        {:reply, id, outcome(response)}

      {:ok, other} ->
        {:malformed, "no integer id in #{excerpt(inspect(other))}"}

      {:error, reason} ->
        {:malformed, "no JSON (#{inspect(reason)}): #{excerpt(inspect(packet))}"}
    end
  end

  defp outcome(%{"success" => true, "result" => result}) when is_map(result), do: {:ok, result}

  defp outcome(%{"success" => false, "error" => text} = response) when is_binary(text) do
    {:error, Error.new(response["error_code"], text, response["details"] || %{})}
  end

  defp outcome(response) do
    {:error,
     Error.new(
       "malformed_response",
       "the response has neither success: true with an object as result nor success: false with a text " <>
         "as error: #{excerpt(inspect(response))}"
     )}
  end

  defp excerpt(text), do: String.slice(text, 0, 200)
end
