import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BlockStatus } from '../../machine/block.ts'
import type { BlockNode } from '../../storage/block-node.ts'
import { storageError } from '../../storage/errors.ts'
import type { StorageErrorCode } from '../../storage/errors.ts'
import { SLOT_SEGMENTS, SLOTS } from './disk-channel.ts'
import { MemoryNode } from '../../storage/nodes/memory.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { openDiskFile } from './disk-file.ts'
import { openDisks } from './open-disk.ts'
import { SpinPolicy } from './spin-policy.ts'
import { DisksInThread } from './testing/disks-in-thread.ts'

let folder: string
let running: DisksInThread[] = []
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tenon-disks-')) })
afterEach(async () => {
  await Promise.all(running.map(disks => disks.stop()))
  running = []
  rmSync(folder, { recursive: true })
})

function start(...nodes: BlockNode[]): DisksInThread {
  const disks = new DisksInThread(nodes)
  running.push(disks)
  return disks
}

function file(size: number): string {
  const path = join(folder, 'disk.img')
  const bytes = new Uint8Array(size)
  for (let index = 0; index < size; index++) bytes[index] = index * 7 + (index >> 9)
  writeFileSync(path, bytes)
  return path
}

/** A node that waits until it is told, and keeps what it was asked for. */
class SlowNode extends MemoryNode {
  readonly log: string[] = []
  readonly waiting: (() => void)[] = []

  override async read(offset: number): Promise<void> { return this.#wait(`read ${offset}`) }
  override async write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    return this.#wait(`write ${offset} in ${from.length}`)
  }
  override async flush(): Promise<void> { return this.#wait('flush') }
  override async discard(offset: number, length: number): Promise<void> { return this.#wait(`discard ${offset} ${length}`) }
  override async writeZeroes(offset: number, length: number): Promise<void> { return this.#wait(`zero ${offset} ${length}`) }

  async #wait(what: string): Promise<void> {
    this.log.push(what)
    await new Promise<void>(resolve => { this.waiting.push(resolve) })
  }
}

const withCode = (code: StorageErrorCode): Error => expect.objectContaining({ name: 'TenonError', code }) as Error
const turn = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 5))

describe('requests through the channel', () => {
  test('read and write a file of the host in place, scattered, and share no byte with others', async () => {
    const path = file(1 << 20)
    const before = readFileSync(path)
    const disks = start(new RawNode(await openDiskFile(path)))
    const read = disks.request('read', 4096, [[8192, 512], [0, 1024], [8704, 512]])
    await disks.settle()
    expect(await read).toBe('ok')
    expect(Buffer.compare(disks.memory.subarray(0, 1024), before.subarray(4608, 5632))).toBe(0)
    const outer = Buffer.concat([before.subarray(4096, 4608), before.subarray(5632, 6144)])
    expect(Buffer.compare(disks.memory.subarray(8192, 9216), outer)).toBe(0)
    disks.memory.fill(0xab, 20_000, 22_048)
    const write = disks.request('write', 512, [[21_024, 1024], [20_000, 1024]])
    await disks.settle()
    const flush = disks.request('flush', 0, [])
    await disks.settle()
    expect([await write, await flush]).toEqual(['ok', 'ok'])
    const after = readFileSync(path)
    before.fill(0xab, 512, 2560)
    expect(after.equals(before)).toBe(true)
  })

  test('a node gets every operation with its flags; FUA is a flush afterwards', async () => {
    const node = new SlowNode({ size: 1 << 20 })
    const disks = start(node)
    const statuses = [
      disks.request('write', 512, [[0, 512], [4096, 512]], { forceUnitAccess: true }),
      disks.request('discard', 0, [], { length: 4096 }),
      disks.request('write-zeroes', 4096, [], { length: 8192, mayUnmap: true }),
      disks.request('write-zeroes', 8192, [], { length: 512 }),
    ]
    await turn()
    expect(node.log).toEqual(['write 512 in 2', 'discard 0 4096', 'zero 4096 8192', 'zero 8192 512'])
    for (const go of node.waiting.splice(0)) go()
    await turn()
    expect(node.log.splice(4)).toEqual(['flush'])
    for (const go of node.waiting.splice(0)) go()
    await disks.settle()
    expect(await Promise.all(statuses)).toEqual(['ok', 'ok', 'ok', 'ok'])
    expect(disks.rings).toBeGreaterThan(0)
  })

  test('segments that are neighbours become one', async () => {
    const node = new SlowNode({ size: 1 << 20 })
    const disks = start(node)
    void disks.request('write', 0, [[4096, 4096], [8192, 4096], [65_536, 512], [66_048, 512], [0, 512]])
    await turn()
    expect(node.log).toEqual(['write 0 in 3'])
    for (const go of node.waiting.splice(0)) go()
    await disks.settle()
  })

  test('more requests than slots wait, are carried out in order, and are answered once each', async () => {
    const node = new SlowNode({ size: 1 << 30 })
    const disks = start(node)
    const count = SLOTS * 3 + 5
    const answers: number[] = []
    for (let index = 0; index < count; index++) {
      void disks.request('read', index * 512, [[0, 512]]).then(() => answers.push(index))
    }
    while (answers.length < count) {
      await turn()
      expect(node.waiting.length).toBeLessThanOrEqual(SLOTS)
      for (const go of node.waiting.splice(0, 50)) go()
      await turn()
      disks.queue.settle()
    }
    expect(node.log).toEqual(Array.from({ length: count }, (_, index) => `read ${index * 512}`))
    expect(answers.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index))
    expect(disks.queue.busy).toBe(false)
  })

  test('a request of more segments than a slot has is one request all the same', async () => {
    const path = file(4 << 20)
    const content = new Uint8Array(readFileSync(path))
    const disks = start(new RawNode(await openDiskFile(path)))
    const count = SLOT_SEGMENTS * 2 + 3
    // Backwards, so that no two are neighbours.
    const read = disks.request('read', 1024, Array.from({ length: count }, (_, index) => [(count - 1 - index) * 4096, 4096] as const))
    await disks.settle()
    expect(await read).toBe('ok')
    for (let index = 0; index < count; index++) {
      const page = disks.memory.slice((count - 1 - index) * 4096, (count - index) * 4096)
      expect(Buffer.compare(page, content.subarray(1024 + index * 4096, 1024 + (index + 1) * 4096))).toBe(0)
    }
    const scattered = Array.from({ length: count }, (_, index) => [index * 8192, 4096] as const)
    const beyond = disks.request('read', (4 << 20) - 4096 * (SLOT_SEGMENTS + 1), scattered)
    await disks.settle()
    expect(await beyond).toBe('io-error')
  })

  test.each<[StorageErrorCode, BlockStatus]>([
    ['DISK_FULL', 'no-space'], ['DISK_UNSUPPORTED', 'unsupported'], ['DISK_WRITE_FAILED', 'io-error'], ['DISK_READ_ONLY', 'io-error'],
  ])('%s becomes %s', async (code, status) => {
    class FailingNode extends MemoryNode { override async write(): Promise<void> { throw storageError(code, 'as the test wants it') } }
    const disks = start(new FailingNode({ size: 1 << 20 }))
    const write = disks.request('write', 0, [[0, 512]])
    await disks.settle()
    expect(await write).toBe(status)
  })

  test('a fault in a node is an I/O error of that request', async () => {
    const node = new MemoryNode({ size: 1 << 20 })
    node.discard = () => { throw new TypeError('a fault') }
    const disks = start(node)
    const statuses = [disks.request('discard', 0, [], { length: 512 }), disks.request('flush', 0, [])]
    await disks.settle()
    expect(await Promise.all(statuses)).toEqual(['io-error', 'ok'])
  })

  test('stopping waits for what is under way', async () => {
    const node = new SlowNode({ size: 1 << 20 })
    const disks = new DisksInThread([node])
    const write = disks.request('write', 0, [[0, 512]])
    disks.server.stop()
    let stopped = false
    const end = async (): Promise<void> => {
      await disks.served
      stopped = true
    }
    void end()
    await turn()
    expect([stopped, node.log]).toEqual([false, ['write 0 in 1']])
    node.waiting[0]()
    await disks.served
    disks.queue.settle()
    expect(await write).toBe('ok')
  })

  test('a disk thread that is gone fails what it had, what waited, and all that follows', async () => {
    const node = new SlowNode({ size: 1 << 20 })
    const disks = new DisksInThread([node])
    const statuses = Array.from({ length: SLOTS + 10 }, () => disks.request('read', 0, [[0, 512]]))
    await turn()
    disks.channel.rings.fail()
    expect(disks.queue.ready).toBe(true)
    disks.queue.settle()
    expect(new Set(await Promise.all(statuses))).toEqual(new Set(['io-error']))
    expect(await disks.request('read', 0, [[0, 512]])).toBe('io-error')
    expect(disks.queue.busy).toBe(false)
    disks.server.stop()
    for (const go of node.waiting) go()
    await disks.served
  })

  test('a disk that is always asked leaves the event loop its turns', async () => {
    const disks = start(new MemoryNode({ size: 1 << 20 }))
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    disks.onRing = () => disks.queue.settle()
    // It never ends where the event loop has no turn.
    await new Promise<void>(resolve => {
      const segments = [disks.memory.subarray(0, 512)]
      const again = (): void => {
        if (turns >= 10) resolve()
        else disks.disk.submit({ operation: 'read', offset: 0, length: 512, segments, done: again })
      }
      again()
    })
    clearInterval(timer)
    expect(disks.rings).toBeGreaterThan(10)
  })
})

describe('orders', () => {
  test('open a file and a disk in memory, and say what they are', async () => {
    const disks = await openDisks([
      { graph: { kind: 'file', path: file(1_000_000), readOnly: true } },
      { graph: { kind: 'memory', size: 1 << 20 }, blockSize: 4096, serial: 'x', bus: 'scsi' },
    ])
    expect(disks.map(({ info }) => info)).toEqual([
      { size: 999_936, blockSize: 512, readOnly: true, serial: 'tenon-disk-0', bus: 'nvme' },
      { size: 1 << 20, blockSize: 4096, readOnly: false, serial: 'x', bus: 'scsi' },
    ])
    const one = [new Uint8Array(1)]
    await expect(disks[0].node.write(0, one)).rejects.toEqual(withCode('DISK_READ_ONLY'))
    for (const { node } of disks) await node.close()
    for (const { node } of disks) await expect(node.read(0, one)).rejects.toEqual(withCode('DISK_CLOSED'))
  })

  test('that cannot be met close what was opened', async () => {
    await expect(openDisks([{ graph: { kind: 'file', path: file(512) } }, { graph: { kind: 'file', path: join(folder, 'none') } }]))
      .rejects.toEqual(withCode('DISK_NOT_FOUND'))
  })
})

test('looking on is given up when it never helps, and tried again now and then', () => {
  const policy = new SpinPolicy()
  let tries = 0
  for (let wait = 0; wait < 6400; wait++) {
    if (policy.begin() === 0) continue
    tries++
    policy.ended(false)
  }
  expect(tries).toBeGreaterThan(50)
  expect(tries).toBeLessThan(150)
  while (policy.begin() === 0);
  policy.ended(true)
  expect(policy.begin()).toBeGreaterThan(0)
})
