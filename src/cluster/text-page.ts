/**
 * A page of one machine's listing as text, so that who puts pages together makes no objects of rows
 * that it only passes on: lines, the first the cursor of the next page, or empty when there is
 * none; then, for each list of the listing, its elements as JSON, joined by commas.
 */

export interface TextPage {
  /** In the listing's order; "" for an empty one. */
  readonly lists: readonly string[]
  /** Where the next page begins; absent when there is none. Never empty. */
  readonly cursor?: string
}

/** JSON has no newlines but between its tokens, where ours has none. */
export function writeTextPage({ cursor = '', lists }: TextPage): string {
  return [cursor, ...lists].join('\n')
}

export function readTextPage(text: string): TextPage {
  const [cursor, ...lists] = text.split('\n')
  return cursor === undefined || cursor === '' ? { lists } : { lists, cursor }
}
