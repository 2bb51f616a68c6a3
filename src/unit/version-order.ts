/**
 * The order of versions, by the Version Format Specification of the UAPI group: "6.1~rc2" < "6.1" <
 * "6.1-1" < "6.1.1" < "6.10". Characters that the format does not know only part the rest.
 */

/** Below 0: `a` is older. */
export function compareVersions(a: string, b: string): number {
  let left = a
  let right = b
  while (true) {
    left = left.replace(skipped, '')
    right = right.replace(skipped, '')
    // Whichever mark comes first in this list makes its side the older one; the end is among them.
    for (const mark of ['~', '', '-', '^', '.']) {
      const [one, other] = [startsWithMark(left, mark), startsWithMark(right, mark)]
      if (one && other && mark === '') return 0
      if (one !== other) return one ? -1 : 1
      if (!one) continue
      left = left.slice(1)
      right = right.slice(1)
    }
    const digits = /^\d/.test(left) || /^\d/.test(right) ? /^\d*/ : /^[A-Za-z]*/
    const [one = ''] = digits.exec(left) ?? []
    const [other = ''] = digits.exec(right) ?? []
    const order = /^\d/.test(one + other) ? compareDigits(one, other) : compareText(one, other)
    if (order !== 0) return order
    left = left.slice(one.length)
    right = right.slice(other.length)
  }
}

const skipped = /^[^A-Za-z0-9~^.-]+/

function startsWithMark(text: string, mark: string): boolean {
  return mark === '' ? text === '' : text.startsWith(mark)
}

/** No digits at all are less than any. */
function compareDigits(a: string, b: string): number {
  if (a === '' || b === '') return a.length - b.length
  const [one, other] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')]
  return one.length - other.length || compareText(one, other)
}

function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}
