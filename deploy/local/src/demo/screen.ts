/** Where the demo's text goes. */
export interface Screen {
  heading(text: string): void;
  line(text: string): void;
  /** What stands behind a table. */
  detail(text: string): void;
}
