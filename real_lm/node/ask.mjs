// A program on OpenAI's own SDK that knows nothing of the kit: an answer, a stream, and the list of models.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const asked = { model: process.argv[2], temperature: 0, max_tokens: 12, seed: 7 };
const say = (content) => [{ role: "user", content }];

const whole = await client.chat.completions.create({ ...asked, messages: say("What is the capital of France?") });
const stream = await client.chat.completions.create({
  ...asked,
  messages: say("What is the capital of Italy?"),
  stream: true,
  stream_options: { include_usage: true },
});
const pieces = [];
let usage;
for await (const chunk of stream) {
  if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
  usage = chunk.usage ?? usage;
}
const told = (counted) => [counted.prompt_tokens, counted.completion_tokens];
console.log(
  JSON.stringify({
    whole: [whole.choices[0].message.content, whole.choices[0].finish_reason, told(whole.usage)],
    streamed: [pieces, told(usage)],
  }),
);
