import { createInterface } from 'node:readline';

/** What a process said last on standard error: its failure's sentence. */
export class LastLine {
  #line = '';

  get line(): string {
    return this.#line;
  }

  listen(stream: NodeJS.ReadableStream): void {
    createInterface(stream).on('line', (line) => this.say(line));
  }

  /** An empty line says nothing. */
  say(line: string): void {
    this.#line = line.trim() || this.#line;
  }
}
