/**
 * The published unit files beside the repository (`../shared/units`): each is read without a crash,
 * and every line of it gets a verdict. How many would run is printed, and is no assertion.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseUnitFile } from '../../src/unit/parse.ts'
import { judgeUnit, loadUnit } from '../../src/unit/unit.ts'

const unitsDir = new URL('../../../shared/units/', import.meta.url)
const skip = existsSync(unitsDir) ? false : 'the published units are not beside this repository'

// "buildroot.acpid.service" was published as "acpid.service".
function publishedName(file: string): string {
  return file.slice(file.indexOf('.') + 1)
}

test('every published unit file is loaded or refused, line by line', { skip }, (context) => {
  const files = readdirSync(unitsDir).filter((name) => name !== 'README.md')
  assert.ok(files.length > 200)
  const counts = { honoured: 0, harmless: 0, refused: 0 }
  const loaded: string[] = []
  for (const file of files) {
    const text = readFileSync(new URL(file, unitsDir))
    const input = { name: publishedName(file), text, sourcePath: file }
    const { lines, problems } = judgeUnit(input)
    // Nothing is dropped: each line that is no comment, header or continuation is one of these.
    const begun = countBegunLines(text.toString('utf8'))
    const sections = parseUnitFile({ file, text }).sections.length
    assert.equal(lines.length + sections + problems.length, begun, file)
    for (const { verdict } of lines) {
      counts[verdict.status]++
      assert.ok(verdict.status === 'honoured' || verdict.message !== '', file)
    }
    const result = loadUnit(input)
    const refusedLines = lines.filter(({ verdict }) => verdict.status === 'refused')
    if (result.kind === 'loaded') {
      loaded.push(file)
      assert.deepEqual([refusedLines, problems], [[], []], file)
    } else {
      assert.ok(result.problems.length > 0, file)
      assert.ok(result.problems.every((problem) => problem.file === file && problem.line > 0))
    }
  }
  const { honoured, harmless, refused } = counts
  context.diagnostic(
    `${loaded.length} of ${files.length} published units would run; ` +
      `of their lines ${honoured} are honoured, ${harmless} harmless, ${refused} refused`,
  )
  assert.ok(loaded.includes('buildroot.acpid.service'), 'the simplest published service loads')
  const conditional = loaded.filter((file) =>
    /^Condition/m.test(readFileSync(new URL(file, unitsDir), 'utf8')),
  )
  assert.ok(
    conditional.includes('scripts.nftables-restore.service'),
    'services with conditions load',
  )
})

// Written apart from the parser, so that both have to be right.
function countBegunLines(text: string): number {
  let count = 0
  let continued = false
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const bare = line.trim()
    if (bare.startsWith('#') || bare.startsWith(';')) continue
    if (!continued && bare !== '') count++
    continued = line.endsWith('\\')
  }
  return count
}
