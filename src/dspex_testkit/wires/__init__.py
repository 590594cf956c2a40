"""The formats of the providers, one file each: requests are read; answers, streams and errors are written. No I/O here.

A reader gives a `Chat`: what a body says, in OpenAI's chat form, and the residue that the form has no place for. The
simulator goes on without the residue, the converter of recordings refuses it, and both read with the same reader.

    anthropic, gemini                two formats with a shape of their own
    openai_chat, openai_responses    what OpenAI offers, and many others speak; `openai_text` are its completions,
                                     `openai_errors` its refusals, `response_events` the pieces of a response
    cohere, cohere_v1, ollama        formats that nothing but the simulator reads
    models                           lists of models
    base                             what every format offers, and how streams are framed
    chat_form, canonical             a request in chat form, and as DSPy's canonical one; `media` marks what is no text
    fields                           values out of a body, each of its kind
    exchange                         what is asked and answered, in words that no provider owns; `logprobs` of it
    failures                         refusals, before any provider's words are put to them
"""
