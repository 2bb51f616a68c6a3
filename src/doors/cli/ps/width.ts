/**
 * Text from foreign processes made safe for a terminal, and its width there. A process may call
 * itself anything, escape sequences included; what is printed never steers the terminal.
 */

// Control characters, bytes that were no UTF-8, lone halves, and marks that turn the direction of
// text.
const unprintable = /[\p{Cc}\p{Cs}\uFFFD\u200E\u200F\u2028-\u202E\u2066-\u2069]/gu
const plain = /^[ -~]*$/

/** Every unprintable character as "?", which is what procps prints. */
export function printable(text: string): string {
  return plain.test(text) ? text : text.replaceAll(unprintable, '?')
}

/** Ranges of East Asian wide and fullwidth characters, and pictures. */
const wide: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xa000, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
]
const takesNoCell = /^[\p{Mn}\p{Me}\p{Cf}]$/u
const picture = /^\p{Emoji_Presentation}$/u

function cellsOf(character: string): number {
  const code = character.codePointAt(0) ?? 0
  if (code < 0x300) return 1
  if (takesNoCell.test(character)) return 0
  if (wide.some(([first, last]) => code >= first && code <= last)) return 2
  return picture.test(character) ? 2 : 1
}

/** Cells of a terminal that `text` takes; printable text only. */
export function displayWidth(text: string): number {
  if (plain.test(text)) return text.length
  let cells = 0
  for (const character of text) cells += cellsOf(character)
  return cells
}

/** The beginning of `text` that fits into `cells`. */
export function cutToWidth(text: string, cells: number): string {
  if (text.length <= cells && plain.test(text)) return text
  let used = 0
  let end = 0
  for (const character of text) {
    used += cellsOf(character)
    if (used > cells) break
    end += character.length
  }
  return text.slice(0, end)
}

/** `text` with spaces on the one side or the other until it takes `cells`; longer text stays. */
export function pad(text: string, cells: number, align: 'left' | 'right'): string {
  const missing = cells - displayWidth(text)
  if (missing <= 0) return text
  return align === 'left' ? text + ' '.repeat(missing) : ' '.repeat(missing) + text
}
