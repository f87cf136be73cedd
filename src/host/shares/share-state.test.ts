/** A share that is saved with a guest in the middle of its work, and taken up by another process, or on another host. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import { Errno } from '../../storage/fuse/errors.ts'
import { Opcode, OpenFlag, ROOT_NODE } from '../../storage/fuse/protocol.ts'
import { entriesOf, FuseClient } from '../../storage/fuse/testing/fuse-client.ts'
import { openShares, type OpenShare } from './open-shares.ts'

let base: string
let folder: string
let opened: OpenShare[] = []
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'tenon-share-state-'))
  folder = join(base, 'here')
  mkdirSync(join(folder, 'dir'), { recursive: true })
  writeFileSync(join(folder, 'dir', 'file'), 'contents')
})
afterEach(() => {
  for (const share of opened) share.folder.close()
  opened = []
  rmSync(base, { recursive: true })
})

function open(path: string, state?: PlainData): OpenShare {
  const [share] = openShares([{ path, tag: 'share0', state }])
  opened.push(share)
  return share
}

test('nodes and open files are found again by their names, here and elsewhere', () => {
  const share = open(folder)
  const client = new FuseClient(share.session).mount()
  const dir = client.walk('dir')
  const file = client.lookup(dir, 'file')
  const handle = client.open(file.node, OpenFlag.READ_WRITE)
  const listing = client.succeed(Opcode.OPENDIR, dir, [0, 0]).body.getBigUint64(0, true)
  client.send(Opcode.FORGET, dir, [5n])
  const state = structuredClone(share.save())
  cpSync(folder, join(base, 'there'), { recursive: true })
  for (const place of [folder, join(base, 'there')]) {
    const again = new FuseClient(open(place, state).session)
    expect(again.succeed(Opcode.GETATTR, file.node, [0, 0, 0n]).errno).toBe(0)
    expect(again.read(handle, 3, 99)).toBe('tents')
    expect(again.write(handle, 0, 'C')).toBe(1)
    expect(again.errno(Opcode.GETATTR, dir, [0, 0, 0n])).toBe(Errno.ESTALE)
    const entries = entriesOf(again.succeed(Opcode.READDIR, dir, [listing, 0n, 4096, 0, 0n, 0, 0]), false)
    expect(entries.map(({ name }) => name)).toEqual(['.', '..', 'file'])
    expect(again.lookup(again.walk('dir'), 'file').node).toBe(file.node)
    expect(again.open(file.node, OpenFlag.READ_ONLY)).toBeGreaterThan(listing)
  }
})

test('what is not there any more is stale', () => {
  const share = open(folder)
  const client = new FuseClient(share.session).mount()
  const { node } = client.lookup(client.walk('dir'), 'file')
  const handle = client.open(node, OpenFlag.READ_ONLY)
  const state = share.save()
  unlinkSync(join(folder, 'dir', 'file'))
  const again = new FuseClient(open(folder, state).session)
  expect(again.errno(Opcode.READ, node, [handle, 0n, 9, 0, 0n, 0, 0])).toBe(Errno.ESTALE)
  expect(again.errno(Opcode.GETATTR, node, [0, 0, 0n])).toBe(Errno.ESTALE)
  renameSync(join(folder, 'dir'), join(folder, 'other'))
  writeFileSync(join(folder, 'dir'), '')
  expect(again.errno(Opcode.LOOKUP, again.lookup(ROOT_NODE, 'other').node, ['file'])).toBe(Errno.ENOENT)
})

test('a state that is damaged is refused, or leads nowhere', () => {
  const share = open(folder)
  const client = new FuseClient(share.session).mount()
  const { node } = client.lookup(client.walk('dir'), 'file')
  client.open(node, OpenFlag.READ_ONLY)
  const state = share.save()
  const random = new Random(7)
  let refused = 0
  for (let round = 0; round < 500; round++) {
    try {
      const [damagedShare] = openShares([{ path: folder, tag: 'share0', state: damaged(state, random) }])
      const again = new FuseClient(damagedShare.session)
      for (const each of [1, 2, 3]) again.request(Opcode.GETATTR, each, [0, 0, 0n])
      damagedShare.folder.close()
    } catch (error) {
      expect(error).toMatchObject({ code: 'SNAPSHOT_INVALID' })
      refused++
    }
  }
  expect(refused).toBeGreaterThan(100)
})

const JUNK: readonly PlainData[] = [null, -1, 3, 1, 2 ** 60, 'x', true, 0.5, Uint8Array.of(46, 46), Uint8Array.of(97, 47, 98), []]

/** With one value, somewhere, replaced. */
function damaged(state: PlainData, random: Random): PlainData {
  const children = typeof state === 'object' && state !== null && !(state instanceof Uint8Array) ? Object.keys(state) : []
  if (children.length === 0) return random.pick(JUNK)
  const key = random.pick(children)
  const copy = (Array.isArray(state) ? [...state] : { ...state as object }) as Record<string, PlainData>
  copy[key] = damaged(copy[key], random)
  return copy as PlainData
}
