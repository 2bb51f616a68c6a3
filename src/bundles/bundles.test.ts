/** Bundles: what is packed is what is unpacked, and nothing else is. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../base/limits.ts'
import { realClock } from '../io/clock.ts'
import { BundleStore } from './bundle-store.ts'
import { encodeManifest, hashOf, parseManifest, piecesOf } from './manifest.ts'
import { type PackedBundle, packDir, readPiece } from './pack.ts'

function place() {
  const dir = mkdtempSync(join(tmpdir(), 'holon-bundles-'))
  const write = (path: string, content: string | Buffer, mode = 0o644) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), content)
    chmodSync(join(dir, path), mode)
  }
  return { dir, write, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) }
}

async function keep(store: BundleStore, root: string, packed: PackedBundle): Promise<string> {
  for (const [hash, from] of packed.pieces) {
    await store.putPiece(hash, await readPiece(root, hash, from))
  }
  return store.add(packed.manifest)
}

test('a directory comes out of its bundle as it went in', async () => {
  using here = place()
  const large = Buffer.alloc(2 * limits.bundlePieceBytes + 17, 'abc')
  here.write('p/server.js', 'js')
  here.write('p/bin/run', '#!/bin/sh\n', 0o755)
  here.write('p/empty', '')
  here.write('p/deep/er/large', large)
  symlinkSync('../bin/run', join(here.dir, 'p/deep/link'))
  symlinkSync('/etc/passwd', join(here.dir, 'p/away'))
  const packed = await packDir(join(here.dir, 'p'))
  assert.deepEqual(packed.leftOut, ['away'])
  assert.equal(packed.files, 5)
  const store = new BundleStore(realClock, join(here.dir, 'store'), 'boot')
  await assert.rejects(store.add(packed.manifest), { code: 'conflict' })
  const hash = await keep(store, join(here.dir, 'p'), packed)
  assert.equal(hash, packed.hash)
  const [tree, again] = await Promise.all([store.tree(hash), store.tree(hash)])
  assert.equal(tree, again)
  assert.ok(readFileSync(join(tree, 'deep/er/large')).equals(large))
  assert.equal(readFileSync(join(tree, 'empty'), 'utf8'), '')
  assert.equal(statSync(join(tree, 'bin/run')).mode & 0o777, 0o755)
  assert.equal(statSync(join(tree, 'server.js')).mode & 0o777, 0o644)
  assert.equal(readlinkSync(join(tree, 'deep/link')), '../bin/run')
  assert.deepEqual(readdirSync(dirname(tree)).sort(), [hash, `${hash}.boot`], 'nothing half made')
})

test('one changed file is one piece more', async () => {
  using here = place()
  here.write('p/a', 'a')
  here.write('p/b', 'b')
  const before = await packDir(join(here.dir, 'p'))
  here.write('p/b', 'changed')
  const after = await packDir(join(here.dir, 'p'))
  assert.notEqual(before.hash, after.hash)
  const store = new BundleStore(realClock, join(here.dir, 'store'), 'boot')
  here.write('p/b', 'b')
  await keep(store, join(here.dir, 'p'), before)
  assert.equal((await store.missing([...after.pieces.keys()])).length, 1)
  const [piece] = [...after.pieces]
  here.write('p/a', 'something else')
  if (piece !== undefined) {
    const [hash, from] = piece
    const changed = from.path === 'a' || from.path === 'b'
    if (changed)
      await assert.rejects(readPiece(join(here.dir, 'p'), hash, from), { code: 'conflict' })
  }
})

test('what is damaged is never given out', async () => {
  using here = place()
  here.write('p/a', 'a')
  const packed = await packDir(join(here.dir, 'p'))
  const store = new BundleStore(realClock, join(here.dir, 'store'), 'boot')
  const hash = await keep(store, join(here.dir, 'p'), packed)
  const [piece = ''] = packed.pieces.keys()
  writeFileSync(join(here.dir, 'store/pieces', piece.slice(0, 2), piece), 'b')
  assert.equal(await store.piece(piece), undefined)
  await assert.rejects(store.tree(hash), { code: 'not_found' })
  assert.deepEqual(readdirSync(join(here.dir, 'store/trees')), [])
  assert.equal(await store.manifest(hash), undefined, 'it has to come again')
  await assert.rejects(store.putPiece(piece, Buffer.from('b')), { code: 'invalid_argument' })
  await keep(store, join(here.dir, 'p'), packed)
  const tree = await store.tree(hash)
  assert.equal(readFileSync(join(tree, 'a'), 'utf8'), 'a')
  // What a program wrote is its own; what was lost with the power is mended.
  writeFileSync(join(tree, 'a'), '')
  await store.tree(hash)
  assert.equal(readFileSync(join(tree, 'a'), 'utf8'), '')
  const after = new BundleStore(realClock, join(here.dir, 'store'), 'next boot')
  await after.tree(hash)
  assert.equal(readFileSync(join(tree, 'a'), 'utf8'), 'a')
})

test('collect() keeps what is in use, what was used lately, and what is new', async () => {
  using here = place()
  const store = new BundleStore(realClock, join(here.dir, 'store'), 'boot')
  const hashes: string[] = []
  for (let i = 0; i < limits.bundlesKept + 3; i++) {
    here.write('p/a', `content ${i}`)
    const packed = await packDir(join(here.dir, 'p'))
    const hash = await keep(store, join(here.dir, 'p'), packed)
    const atSec = 1_000_000 + i
    utimesSync(join(here.dir, 'store/manifests', hash), atSec, atSec)
    for (const piece of packed.pieces.keys()) {
      utimesSync(join(here.dir, 'store/pieces', piece.slice(0, 2), piece), atSec, atSec)
    }
    hashes.push(hash)
  }
  const [oldest = '', second = '', third = ''] = hashes
  await store.putPiece(hashOf('on its way'), Buffer.from('on its way'))
  assert.equal(await store.collect(new Set([second])), 2)
  assert.equal(await store.manifest(oldest), undefined)
  assert.notEqual(await store.manifest(second), undefined)
  assert.equal(await store.manifest(third), undefined)
  assert.deepEqual(await store.missing([hashOf('on its way'), hashOf('content 0')]), [
    hashOf('content 0'),
  ])
})

test('parseManifest() takes no path that leads out of the bundle', () => {
  const file = (path: string) => ({ path, executable: false, bytes: 0, pieces: [] })
  const refused = [
    ['/etc/passwd'],
    ['../x'],
    ['a/../../x'],
    ['a//b'],
    [''],
    ['a', 'a/b'],
    ['a', 'a'],
    ['a\0b'],
  ]
  for (const paths of refused) {
    assert.throws(() => parseManifest(encodeManifest(paths.map(file))), {
      code: 'invalid_argument',
    })
  }
  const links = [
    { path: 'l', link: '/etc' },
    { path: 'a/l', link: '../../x' },
  ]
  for (const link of links) {
    assert.throws(() => parseManifest(encodeManifest([link])), { code: 'invalid_argument' })
  }
  // A file below a link would be written where that leads.
  const below = [{ path: 'l', link: 'd' }, file('l/x')]
  assert.throws(() => parseManifest(encodeManifest(below)), { code: 'invalid_argument' })
})

test('parseManifest() reads what encodeManifest() writes, and crashes on nothing', () => {
  const path = fc
    .array(
      fc.stringMatching(/^[A-Za-z0-9 ._@ü-]{1,8}$/).filter((part) => part !== '.' && part !== '..'),
    )
    .filter((parts) => parts.length > 0)
    .map((parts) => `f${parts.join('/f')}`)
  fc.assert(
    fc.property(fc.uniqueArray(path, { maxLength: 5 }), (paths) => {
      const leaves = paths.filter((each) => !paths.some((other) => other.startsWith(`${each}/`)))
      const entries = leaves.map((each) => ({
        path: each,
        executable: true,
        bytes: 1,
        pieces: [hashOf(each)],
      }))
      const manifest = parseManifest(encodeManifest(entries))
      assert.equal(manifest.entries.length, leaves.length)
      assert.equal(piecesOf(manifest).length, leaves.length)
    }),
  )
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      assert.throws(() => parseManifest(text), { code: 'invalid_argument' })
    }),
  )
})
