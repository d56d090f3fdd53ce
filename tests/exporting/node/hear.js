// node hear.js LANGUAGE FOLDER CLIP...: what transformers.js writes for clips of raw float32 samples at 16 kHz.
import { readFileSync } from "node:fs";
import { env, pipeline } from "@huggingface/transformers";

const [language, folder, ...clips] = process.argv.slice(2);
env.allowRemoteModels = false;
const recogniser = await pipeline("automatic-speech-recognition", folder);
const texts = [];
for (const clip of clips) {
  const bytes = readFileSync(clip);
  const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const { text } = await recogniser(samples, { language, task: "transcribe" });
  texts.push(text.trim());
}
process.stdout.write(JSON.stringify(texts));
