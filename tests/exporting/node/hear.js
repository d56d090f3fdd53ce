// node hear.js LANGUAGE TOKENS FOLDER CLIP...: what transformers.js writes for clips of raw float32 samples at 16 kHz,
// at most so many tokens.
import { readFileSync } from "node:fs";
import { env, pipeline } from "@huggingface/transformers";

const [language, tokens, folder, ...clips] = process.argv.slice(2);
env.allowRemoteModels = false;
const recogniser = await pipeline("automatic-speech-recognition", folder);
const texts = [];
for (const clip of clips) {
  const bytes = readFileSync(clip);
  const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const { text } = await recogniser(samples, { language, task: "transcribe", max_new_tokens: Number(tokens) });
  texts.push(text.trim());
}
process.stdout.write(JSON.stringify(texts));
