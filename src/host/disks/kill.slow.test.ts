/** Processes that write to real files are killed; what they said to be flushed must be there, and their locks must not be in the way. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Random } from '../../base/testing/random.ts'
import { DedupNode } from '../../storage/nodes/dedup.ts'
import { MirrorNode } from '../../storage/nodes/mirror.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { TierNode } from '../../storage/nodes/tier.ts'
import { openDisk } from '../../storage/open.ts'
import { createQcow2 } from '../../storage/qcow2/create.ts'
import type { StorageFile } from '../../storage/storage-file.ts'
import { readAll } from '../../storage/testing/disk-model.ts'
import { isInstalled } from '../../storage/testing/tools.ts'
import { openDiskFile } from './disk-file.ts'
import { hostEnvironment } from './environment.ts'
import { formats, rounds, type Write } from './testing/kill-workload.ts'

const SIZE = 4 << 20
const KILLS = 40

let folder: string
let victim: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tenon-kill-'))
  victim = join(folder, 'victim.mjs')
  const entry = join(import.meta.dirname, 'testing', 'kill-victim.ts')
  await build({ entryPoints: [entry], bundle: true, platform: 'node', format: 'esm', outfile: victim, logLevel: 'error' })
})

afterAll(() => rmSync(folder, { recursive: true }))

const at = (name: string): string => join(folder, name)
const newFile = (name: string): Promise<StorageFile> => openDiskFile(at(name), { create: true })
const newRaw = async (name: string, size: number): Promise<RawNode> => RawNode.create(await newFile(name), size)
const { sha256 } = hostEnvironment()

/** Makes a disk, and says how it is opened. */
const DISKS: Readonly<Record<string, () => Promise<unknown>>> = {
  raw: async () => {
    await (await newRaw('raw', SIZE)).close()
    return { kind: 'file', path: at('raw'), format: 'raw' }
  },
  qcow2: async () => {
    const file = await newFile('qcow2')
    await createQcow2(file, { size: SIZE })
    await file.close()
    return { kind: 'file', path: at('qcow2'), format: 'qcow2' }
  },
  mirror: async () => {
    const nodes = [await newRaw('one', SIZE), await newRaw('other', SIZE)]
    await (await MirrorNode.create({ nodes, state: await newFile('state') }, 'equal')).close()
    return { kind: 'mirror', nodes: [at('one'), at('other')], state: at('state') }
  },
  dedup: async () => {
    await (await DedupNode.create({ map: await newFile('blocks'), data: await newFile('data'), sha256: sha256! }, SIZE, 4096)).close()
    return { kind: 'dedup', map: at('blocks'), data: at('data'), mapPages: 4 }
  },
  tier: async () => {
    const fast = await newRaw('fast', 8 * 65536)
    await (await TierNode.create({ fast, slow: await newRaw('slow', SIZE), map: await newFile('map') }, 65536)).close()
    return { kind: 'tier', fast: at('fast'), slow: at('slow'), map: at('map') }
  },
}

/** Runs the victim until it has flushed something and some time has passed. Returns how often it said that it had flushed. */
async function runAndKill(description: unknown, seed: number, milliseconds: number): Promise<number> {
  const program = spawn(process.execPath, [victim, JSON.stringify({ description, seed })], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  program.stdout.on('data', (bytes: Buffer) => { said += bytes.toString('latin1') })
  const ended = new Promise<void>((resolve) => { program.once('close', () => resolve()) })
  await Promise.race([ended, new Promise(resolve => program.stdout.once('data', resolve))])
  await new Promise(resolve => setTimeout(resolve, milliseconds))
  program.kill('SIGKILL')
  await ended
  expect(program.signalCode).toBe('SIGKILL')
  return said.split('\n').length - 1
}

/** The disk has what was flushed, and of the next two rounds any part. */
function expectFlushed(bytes: Uint8Array, before: Uint8Array, seed: number, flushed: number): void {
  const base = before.slice()
  const later: Write[] = []
  let count = 0
  for (const round of rounds(seed, SIZE)) {
    if (count < flushed) for (const { offset, bytes } of round) base.set(bytes, offset)
    else later.push(...round)
    if (++count > flushed + 1) break
  }
  for (const { offset, bytes: written } of later) {
    for (let at = 0; at < written.length; at++) if (bytes[offset + at] === written[at]) base[offset + at] = written[at]
  }
  expect(Buffer.compare(bytes, base)).toBe(0)
}

const hasQemu = isInstalled('qemu-img')
const qemuCheck = (): number | null => spawnSync('qemu-img', ['check', at('qcow2')]).status

test.each(Object.keys(DISKS))(`%s survives ${KILLS} kills`, async (kind) => {
  const description = await DISKS[kind]()
  const random = new Random(kind.length)
  let before: Uint8Array = new Uint8Array(SIZE)
  let total = 0
  for (let kill = 1; kill <= KILLS; kill++) {
    const flushed = await runAndKill(description, kill, random.below(60))
    // 3: clusters that were allocated when the process was killed, and are not used. They do no harm, and are found at the next start.
    if (kind === 'qcow2' && hasQemu) expect([0, 3]).toContain(qemuCheck())
    const node = await openDisk(description, hostEnvironment(), { formats })
    const bytes = await readAll(node)
    expectFlushed(bytes, before, kill, flushed)
    await node.close()
    if (kind === 'qcow2' && hasQemu) expect(qemuCheck()).toBe(0)
    before = bytes
    total += flushed
  }
  expect(total).toBeGreaterThan(KILLS)
}, 240_000)
