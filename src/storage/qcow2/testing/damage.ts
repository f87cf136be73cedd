/** Damaged images: an error or data, and never a hang, a huge allocation, or anything but a TenonError. */
import { expect } from 'vitest'
import { TenonError } from '../../../base/errors.ts'
import { Random } from '../../../base/testing/random.ts'
import { MemoryStore } from '../../testing/memory-file.ts'
import { createQcow2 } from '../create.ts'
import { Qcow2Node } from '../node.ts'
import { compress, decompressors } from './qemu.ts'

const SIZE = 512 << 10
export const CLUSTER = 4096

/** An image with everything in it that there is. */
export async function soundImage(): Promise<Uint8Array> {
  const store = new MemoryStore()
  await createQcow2(store.file('disk'), { size: SIZE, clusterSize: CLUSTER })
  const node = await Qcow2Node.open(store.file('disk'))
  await node.write(10_000, [new Uint8Array(60_000).fill(1)])
  await node.createSnapshot({ name: 'one', seconds: 1 })
  await node.write(30_000, [new Uint8Array(20_000).fill(2)])
  await node.writeZeroes(40_960, 8192, false)
  await node.createSnapshot({ name: 'two', seconds: 2 })
  for (let at = 200 << 10; at < 300 << 10; at += CLUSTER) {
    await node.writeCompressed(at, new Uint8Array(CLUSTER).fill(at / CLUSTER), compress)
  }
  await node.write(100_000, [new Uint8Array(30_000).fill(3)])
  await node.close()
  return store.bytes('disk')
}

/** Changes fields of the header, entries of tables, or cuts the file off. */
function damage(bytes: Uint8Array, random: Random): Uint8Array {
  const damaged = bytes.slice()
  const view = new DataView(damaged.buffer)
  for (let change = random.below(3); change >= 0; change--) {
    const kind = random.below(8)
    if (kind === 0) damaged[random.below(120)] ^= 1 << random.below(8)
    else if (kind === 1) view.setUint32(random.below(28) * 4, random.value())
    else {
      const at = random.below(3) === 0 ? 24 + random.below(6) * 8 : pickEntry(view, random)
      view.setBigUint64(at, entry(damaged.length, random))
    }
  }
  return random.below(8) === 0 ? damaged.subarray(0, random.below(damaged.length)) : damaged
}

/** The place of an entry of some table. */
function pickEntry(view: DataView, random: Random): number {
  const table = Number(view.getBigUint64(random.pick([40, 48, 64])))
  const first = table + random.below(8) * 8
  if (first + 8 > view.byteLength) return 48
  const below = Number(view.getBigUint64(first) & 0x00ff_ffff_ffff_fe00n)
  return random.below(3) > 0 && below > 0 && below + CLUSTER <= view.byteLength ? below + random.below(CLUSTER / 8) * 8 : first
}

function entry(size: number, random: Random): bigint {
  const place = BigInt(random.below(size / CLUSTER + 3) * CLUSTER)
  const flags = BigInt(random.pick([0, 0, 1, 2, 3])) << 62n
  switch (random.below(5)) {
    case 0: return BigInt(random.value()) << 32n | BigInt(random.value())
    case 1: return place + BigInt(random.below(600)) | flags
    case 2: return 1n << BigInt(random.below(64))
    default: return place | flags | BigInt(random.below(2))
  }
}

async function attempt(operation: () => Promise<unknown>): Promise<void> {
  await operation().catch((error: unknown) => {
    if (!(error instanceof TenonError) || error.code === 'INTERNAL') throw error
  })
}

async function use(node: Qcow2Node, random: Random): Promise<void> {
  const at = (): number => random.below(Math.max(1, Math.min(node.size, SIZE) - 5000))
  const bytes = new Uint8Array(5000)
  await attempt(() => node.read(0, [new Uint8Array(Math.min(node.size, SIZE))]))
  await attempt(() => node.extent(at(), 1000))
  await attempt(() => node.check())
  await attempt(() => node.snapshots())
  await attempt(() => node.compactInto(new MemoryStore().file('copy')))
  await Promise.all(Array.from({ length: 4 }, () => attempt(() => node.write(at(), [bytes.fill(7)]))))
  await attempt(() => node.writeZeroes(at(), 5000, true))
  await attempt(() => node.discard(at(), 5000))
  await attempt(() => node.flush())
  if (random.below(2) === 0) await attempt(() => node.createSnapshot({ name: 'x', seconds: 1 }))
  else await attempt(() => node.deleteSnapshot(random.pick(['one', 'two'])))
  await attempt(() => node.applySnapshot(random.pick(['one', 'two'])))
  await attempt(() => node.resize(SIZE + random.below(2) * 65536 - 32768))
  await attempt(() => node.check('all'))
  await attempt(() => node.read(0, [new Uint8Array(Math.min(node.size, SIZE))]))
}

/**
 * Damages an image in some ways, and does with each everything that can be done with an image. Rejects if anything but TenonErrors comes
 * of it, or large accesses to the file. Returns how many images could be opened.
 */
export async function useDamaged(seed: number, runs: number): Promise<number> {
  let opened = 0
  const random = new Random(seed * 1000)
  const sound = await soundImage()
  for (let run = 0; run < runs; run++) {
    const store = new MemoryStore()
    store.setBytes('disk', damage(sound, random))
    let largest = 0
    store.fail = (_, __, ___, length) => {
      largest = Math.max(largest, length)
      return null
    }
    await attempt(async () => {
      const readOnly = random.below(3) === 0
      const node = await Qcow2Node.open(store.file('disk', readOnly), { readOnly, decompressors })
      opened++
      await use(node, random)
      await attempt(() => node.close())
    })
    expect(largest).toBeLessThan(16 << 20)
  }
  return opened
}
