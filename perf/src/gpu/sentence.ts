import { OnepassError } from '@onepass/errors';

/** Places in ONNX Runtime's sources, and what it says again around the reason. */
const NATIVE_WORDS = [
  /Non-zero status code returned while running /g,
  / Name:'[^']*' Status Message:/g,
  /\/onnxruntime_src\/\S+ .*?(?=\[ONNXRuntimeError\]|CUDA failure|CUBLAS failure|CUDNN failure)/g,
  /\[ONNXRuntimeError\] : \d+ : \w+ : /g,
];

/** What went wrong, with what was behind it, in one sentence. */
export function sentenceOf(error: unknown): string {
  const { message, cause } = OnepassError.from(error);
  const behind = cause instanceof Error && !message.includes(cause.message) ? ` (${cause.message})` : '';
  return NATIVE_WORDS.reduce((text, words) => text.replace(words, ' '), `${message}${behind}`)
    .replace(/\s+/g, ' ')
    .trim();
}
