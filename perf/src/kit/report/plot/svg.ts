/** Text as it may stand in HTML and SVG, in attributes too. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element; `content` is markup, text must have been escaped. Attributes that are undefined are left out. */
export function element(name: string, attributes: Attributes, content: string | readonly string[] = ''): string {
  const written = Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key}="${typeof value === 'number' ? short(value) : escapeText(value)}"`],
  );
  return `<${name}${written.join('')}>${typeof content === 'string' ? content : content.join('')}</${name}>`;
}

export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeText(content));
}

/** Two digits behind the point: less than a screen shows. */
export function short(value: number): string {
  return String(Number(value.toFixed(2)));
}

/** A drawing of its own height, as wide as what it stands in. `label` says what is in it to those who cannot see it. */
export function drawing(width: number, height: number, label: string, content: readonly string[], kind = ''): string {
  return element(
    'svg',
    { viewBox: `0 0 ${short(width)} ${short(height)}`, role: 'img', 'aria-label': label, class: kind || undefined },
    content,
  );
}

export const FONT = 13;

/** About how wide a text is, in pixels; taken rather too wide: fonts differ, and what is cut off cannot be read. */
export const textWidth = (content: string, size = FONT) => content.length * size * 0.63;
