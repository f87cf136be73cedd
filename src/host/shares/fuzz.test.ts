/** A guest that asks a shared folder for anything: nearly right requests at random. Nothing outside may change, nothing be thrown. */
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { Opcode } from '../../storage/fuse/protocol.ts'
import { FuseSession } from '../../storage/fuse/session.ts'
import { encode, FuseClient, type Field } from '../../storage/fuse/testing/fuse-client.ts'
import { openSharedFolder, type PathsKind } from './open-shared-folder.ts'

const NAMES = ['a', 'b', 'c', 'dir', 'link', 'out', 'file', '..', '.', '', '../secret', 'a/b', '/etc', 'x'.repeat(255), 'x'.repeat(256)]
const TARGETS = ['../secret', '..', '/', '.', 'a', '../..', 'dir/../../secret']
const ROUNDS = 3000

/** Fields that suit an operation. */
function fieldsOf(random: Random, opcode: number): Field[] {
  const name = (): string => random.pick(NAMES.slice(0, random.below(5) === 0 ? NAMES.length : 7))
  const handle = (): bigint => BigInt(random.below(30))
  const node = (): bigint => BigInt(1 + random.below(20))
  const offset = (): bigint => BigInt(random.below(40) === 0 ? 2 ** 52 : random.below(5000))
  switch (opcode) {
    case Opcode.LOOKUP: case Opcode.UNLINK: case Opcode.RMDIR: return [name()]
    case Opcode.SYMLINK: return [name(), random.pick(TARGETS)]
    case Opcode.MKNOD: return [random.pick([0o100644, 0o100644, 0o020644, 0o104755]), 0, 0, 0, name()]
    case Opcode.MKDIR: return [random.pick([0o755, 0o4777]), 0, name()]
    case Opcode.RENAME: return [node(), name(), name()]
    case Opcode.RENAME2: return [node(), random.below(3), 0, name(), name()]
    case Opcode.LINK: return [node(), name()]
    case Opcode.CREATE: return [random.below(3) | random.pick([0, 0o200, 0o1000, 0o2000]), 0o100600, 0, 0, name()]
    case Opcode.OPEN: case Opcode.OPENDIR: return [random.below(4) | random.pick([0, 0o1000, 0o2000]), 0]
    case Opcode.READ: case Opcode.READDIR: case Opcode.READDIRPLUS:
      return [handle(), offset(), random.pick([0, 100, 4096, 1 << 21]), 0, 0n, 0, 0]
    case Opcode.WRITE: return [handle(), offset(), 4, 0, 0n, 0, 0, 'data']
    case Opcode.RELEASE: case Opcode.RELEASEDIR: return [handle(), 0, 0, 0n]
    case Opcode.SETATTR:
      return [random.below(512) & ~6, 0, handle(), offset(), 0n, 0n, 0n, 0n, 0, 0, 0, random.below(0o10000) | 0o700, 0, 0, 0, 0]
    case Opcode.FORGET: return [BigInt(random.below(3))]
    default: return [handle(), handle(), handle()]
  }
}

const OPERATIONS = Object.values(Opcode).filter(opcode => opcode !== Opcode.DESTROY && opcode !== Opcode.INIT)

const KINDS: PathsKind[] = process.platform === 'linux' ? ['descriptors', 'checked'] : ['checked']

test.each(KINDS)('a guest that asks for anything does not get out of its folder (%s)', kind => {
  const outside = mkdtempSync(join(tmpdir(), 'tenon-share-fuzz-'))
  const folder = join(outside, 'shared')
  mkdirSync(join(folder, 'dir'), { recursive: true })
  writeFileSync(join(outside, 'secret'), 'not yours')
  symlinkSync('..', join(folder, 'out'))
  const before = lstatSync(join(outside, 'secret'), { bigint: true })
  const shared = openSharedFolder({ path: folder, tag: 'fuzz' }, kind)
  try {
    const session = new FuseSession(shared)
    new FuseClient(session).mount()
    const random = new Random(kind.length)
    const room = new Uint8Array(70_000)
    let successes = 0
    for (let round = 0; round < ROUNDS; round++) {
      const opcode = random.below(100) === 0 ? random.pick([Opcode.INIT, Opcode.DESTROY]) : random.pick(OPERATIONS)
      const fields = opcode === Opcode.INIT ? [7, 37, 0, 0] : fieldsOf(random, opcode)
      const message = encode(opcode, BigInt(round), 1 + random.below(random.pick([3, 20])), fields)
      if (random.below(20) === 0) message[random.below(message.length)] = random.value()
      const length = session.serve([message], [room])
      if (length > 0 && new DataView(room.buffer).getInt32(4, true) === 0) successes++
      if (opcode === Opcode.DESTROY) new FuseClient(session).mount()
    }
    expect(successes).toBeGreaterThan(ROUNDS / 10)
    const after = lstatSync(join(outside, 'secret'), { bigint: true })
    expect([after.mtimeNs, after.ctimeNs, after.nlink, after.mode]).toEqual([before.mtimeNs, before.ctimeNs, before.nlink, before.mode])
    expect([readdirSync(outside).toSorted(), readFileSync(join(outside, 'secret'), 'utf8')]).toEqual([['secret', 'shared'], 'not yours'])
    expect(existsSync(folder)).toBe(true)
  } finally {
    shared.close()
    rmSync(outside, { recursive: true })
  }
})
